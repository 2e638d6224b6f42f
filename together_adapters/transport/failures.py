"""From an error response, or a missing one, to the exception that says what happened and what to do. Pure.

A body is classified as it came; what the exception keeps of it is cut and without secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from together_adapters import errors
from together_adapters.errors import APIError, APIStatusError, HTTPResponse, TogetherError
from together_adapters.transport.call import Call, Response
from together_adapters.transport.redaction import (
    MAX_LENGTH,
    Redactor,
    redactor,
    secret_headers,
    secret_parameters,
    secrets_of_url,
)
from together_adapters.transport.redirects import host_of
from together_adapters.transport.retry import Failure
from together_adapters.transport.surrogates import lenient_json
from together_adapters.types.capabilities import advice, is_known

E = TypeVar("E", bound=TogetherError)

_MAX_MESSAGE = 2_000
_MAX_NESTING = 8  # of messages in messages
_MAX_LISTED = 10
_MESSAGE_NAMES = ("message", "Message", "detail", "msg", "error_description", "error_message", "reason")
_NO_MESSAGE = "no explanation was given"

_CONTEXT_CODE = re.compile(
    r"context_?(length|window|size)_?(is_?)?(exceed|overflow)|exceed_?context_?(length|window|size)|(prompt|input)_?(is_?)?too_?long",
    re.IGNORECASE,
)
_CONTEXT_MESSAGE = re.compile(
    r"context_length_exceeded|ContextWindowExceeded|exceed_context_size"
    r"|(maximum|max|model's) (context|sequence|prompt|model|input) (length|window|limit|size)|max_(input|model|seq)_len\b"
    r"|(exceed(s|ed|ing)?|(greater|longer|larger) than|beyond|reached)\b[^.;]{0,60}\bcontext[ _](length|window|size|limit)"
    r"|context[ _](length|window|size|limit)\b[^.;]{0,40}\bexceed|context (the )?overflow"
    r"|longer than the (maximum )?model|too large for model with|but the configured context size is"
    r"|max_new_tokens`? must be|`?inputs?`? must have (less|fewer) than \d+ tokens|maximum allowed (input )?length"
    r"|(prompt|input|conversation) (is )?too long|too many (input |prompt )?tokens|input token count[^.;]{0,40} exceeds"
    r"|exceeded model token limit|range of input length should be|tokens exceed the configured limit"
    r"|tokens\) is too large to process|larger than the max context size|input\b\S*: String should have at most \d+ characters"
    r"|reduce the length of (the |your )?(messages|prompt|input)|token count of \d+ exceeds the limit",
    re.IGNORECASE,
)  # the words of Together, OpenAI, Anthropic, Mistral, Groq, xAI, Gemini, vLLM, SGLang, TGI, TEI, llama.cpp, Ollama, LM Studio, LiteLLM,
# and of infinity, which counts characters
_CONTEXT_STATUSES = frozenset({400, 403, 413, 422, 500})  # 500: llama.cpp, and gateways that wrap the error of an engine
_FINE_TUNES = "/v1/fine-tunes"
_NAMES_MODELS = re.compile(
    r"nearest name|did you mean|GET /v1/models", re.IGNORECASE
)  # in a message that needs no further advice
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_GENERAL_WORDS = frozenset(
    "an api argument arguments bad client content engine entity error exception failed failure fault general http input inputs "
    "internal invalid large litellm long none null openai param parameter parameters params payload precondition processing "
    "provider request runtime server service size specified status too type unknown unprocessable upstream validation value".split()
)
_MISSING_MODEL = re.compile(
    r"\bmodel [`'\"]?[\w./:@-]+[`'\"]?,? (was |is )?(not found|does not exist)", re.IGNORECASE
)  # vLLM, Ollama
_UNAVAILABLE_CODES = frozenset({"model_not_available", "model_not_found", "dedicated_endpoint_not_running"})
_NOT_SERVERLESS = re.compile(r"\bnon-serverless model\b", re.IGNORECASE)
_BY_CODE: dict[str, type[APIStatusError]] = {
    "invalid_api_key": errors.AuthenticationError,
    "third_party_data_sharing_blocked": errors.DataSharingBlockedError,
    **dict.fromkeys(
        ("insufficient_quota", "insufficient_credits", "insufficient_balance", "exceeded_current_quota_error",
         "billing_hard_limit_reached", "billing_not_active"),
        errors.PaymentRequiredError,
    ),
}  # fmt: skip
Advise = Callable[[str, str | None], str]
"""Returns what to do about a model that a server does not serve, from its name and the type as which it was called."""

_TYPE_BY_PATH = {"/v1/embeddings": "embedding", "/v1/rerank": "rerank"}
_FINAL = (errors.ContextLengthError, errors.PaymentRequiredError)
_TAG = re.compile(r"<(/?[a-z!?][^<>]*)>", re.IGNORECASE)
_INVISIBLE = frozenset({"script", "style", "svg", "noscript", "template"})
_FOREIGN = ("httpx", "httpcore", "h11", "pydantic")

_HINTS: tuple[tuple[type[TogetherError], str], ...] = (
    (errors.ContextLengthError, "Shorten the prompt, lower max_tokens, or choose a model with a longer context."),
    (errors.AuthenticationError, "Check TOGETHER_API_KEY, or the api_key that was passed."),
    (errors.PaymentRequiredError, "Add credit or raise the spending limit in the account's billing settings."),
    (errors.PermissionDeniedError, "The API key does not have this permission."),
    (errors.RateLimitError, "Send fewer requests at once, or raise max_retries."),
    (errors.ServiceUnavailableError, "The model is overloaded; try again later, or another model."),
    (errors.InternalServerError, "The service failed; try again later."),
)


class ErrorDetails(NamedTuple):
    """The content of an error body."""

    message: str
    type: str | None = None
    param: str | None = None
    code: str | None = None


def parse_error(body: Any, nesting: int = 0) -> ErrorDetails:
    """Parses an error body: nested, flat, a bare string, a list of errors, HTML, plain text, or nothing."""
    if nesting > _MAX_NESTING:
        return ErrorDetails("")
    if isinstance(body, str):
        return _parse_text(body, nesting)
    if isinstance(body, list):
        parts = [parse_error(item, nesting + 1) for item in body[:_MAX_LISTED]]
        first = next((part for part in parts if part.message), ErrorDetails(""))
        return first._replace(message="; ".join(filter(None, (part.message for part in parts))))
    if not isinstance(body, Mapping):
        return ErrorDetails("")
    inner = body.get("error") or body.get("errors")
    details = parse_error(inner, nesting + 1) if isinstance(inner, str | list | Mapping) else ErrorDetails("")
    if isinstance(inner, Mapping) and not details.message:
        details = details._replace(message=_fields(inner, nesting))
    text = _own_message(body, nesting)
    texts = (details.message, text) if isinstance(inner, str) else (text, details.message)
    message = details.message if text in details.message else ": ".join(filter(None, texts))
    kind = body.get("type") or body.get("__type") or (body.get("status") if isinstance(body.get("status"), str) else None)
    return ErrorDetails(
        message,
        details.type or _text(kind),
        details.param or _text(body.get("param")),
        details.code or _text(body.get("code") or body.get("error_type") or body.get("error_code")),
    )


def _own_message(body: Mapping[str, Any], nesting: int) -> str:
    """Returns the text of an object: a message, a problem with title and detail, or a complaint about a field."""
    value = next(filter(None, map(body.get, _MESSAGE_NAMES)), None)
    message = parse_error(value, nesting + 1).message or _text(value) or ""
    where, title = body.get("loc"), body.get("title")
    if isinstance(where, list) and where:
        return f"{'.'.join(_text(part) or '' for part in where)}: {message}"
    if isinstance(title, str) and title not in message:
        return ": ".join(filter(None, (title, message)))
    return message


def _fields(errors_of: Mapping[str, Any], nesting: int) -> str:
    """Returns complaints by field, such as `{"name": ["is required"]}`; any other object as it is."""
    if all(isinstance(complaints, list) for complaints in errors_of.values()):
        return "; ".join(f"{name}: {parse_error(complaints, nesting + 1).message}" for name, complaints in errors_of.items())
    return _text(errors_of) or ""


def _parse_text(text: str, nesting: int) -> ErrorDetails:
    """Parses text: an error body that a gateway passed on as text, HTML, or a sentence."""
    text = text.strip()
    if text[:1] in ("{", "[") and isinstance(body := _json(text), Mapping | list):
        details = parse_error(body, nesting + 1)
        return details if details.message else ErrorDetails(" ".join(text.split()))
    return ErrorDetails(" ".join((_text_of_html(text) if text[:1] == "<" else text).split()))


def _text_of_html(html: str) -> str:
    """Returns the title and the visible text of HTML or XML."""
    from html import unescape  # its tables are large, and few errors need them

    title, texts, hidden, inside = "", [], "", ""
    for index, part in enumerate(_TAG.split(html[:MAX_LENGTH])):
        if index % 2:
            name = part.split(None, 1)[0].lower()
            inside = name
            if not hidden and name in _INVISIBLE and not part.endswith("/"):
                hidden = "/" + name
            elif name == hidden:
                hidden = ""
        elif not hidden and inside == "title":
            title = part.strip()
        elif not hidden:
            texts.append(part)
    text = " ".join(" ".join(texts).split())
    text = text if not title or text.startswith(title) else f"{title}: {text}".rstrip(": ")
    return unescape(text[: 2 * _MAX_MESSAGE])


def read_error_body(content: bytes) -> Any:
    """Returns an error body as JSON, or else as text. Of a long one it reads the beginning."""
    text = _decoded(content)
    parsed = _json(text, is_cut=len(text) > MAX_LENGTH)
    return text if parsed is None else parsed


def _decoded(content: bytes) -> str:
    """Returns the text of a body; one character more than an error keeps says that it is cut."""
    return content[: 4 * (MAX_LENGTH + 1)].decode(json.detect_encoding(content[:4]), "replace")[: MAX_LENGTH + 1]


def _json(text: str, *, is_cut: bool = False) -> Any:
    """Returns JSON, also with control characters or half a surrogate pair in strings; None if it is not JSON."""
    data = lenient_json(text.encode("utf-8", "replace"))
    try:
        return from_json(data, allow_partial=is_cut)
    except ValueError:
        pass
    try:
        return json.loads(data, strict=False)
    except (ValueError, RecursionError):
        return None


def is_final(response: HTTPResponse) -> bool:
    """Whether the body of an error response says, whatever its status, that another attempt would fail in the same way."""
    return issubclass(_status_class(response.status_code, parse_error(read_error_body(response.content))), _FINAL)


def status_error(response: Response, call: Call[Any], secrets: Iterable[str] = (), advise: Advise = advice) -> APIStatusError:
    """Returns the error for an error status, without the secrets, should the service repeat them."""
    body = read_error_body(response.content)
    details = parse_error(body)
    kind = _status_class(response.status_code, details)
    redact = redactor_of(call, secrets)
    response, body = _safe_response(response, body, redact), _safe_body(body, redact)
    details = _safe_details(body, redact)
    if 300 <= response.status_code < 400:
        location = host_of(response.headers.get("location", "")) or "nowhere"
        details = ErrorDetails(f"a redirect to {location} was not followed")
    message = details.message or redact(unquote(response.headers.get("grpc-message", ""))) or _NO_MESSAGE
    return _response_error(
        kind,
        f"{response.status_code} from {call.method} {redact(call.safe_path)}: {message}",
        response,
        call,
        details,
        status_code=response.status_code,
        body=body,
        request_id=response.request_id or (_text(body.get("id")) if isinstance(body, Mapping) else None),
        advise=advise,
    )


def stream_error(body: Any, response: Response, call: Call[Any], secrets: Iterable[str] = ()) -> APIError:
    """Returns the error for an event that reports one in the middle of a stream."""
    return reported_error(body, response, call, secrets, where="stream of")


def reported_error(
    body: Any, response: Response, call: Call[Any], secrets: Iterable[str] = (), *, where: str = "answer to"
) -> APIError:
    """Returns the error that a body reports although its status is no error."""
    details = parse_error(body)
    kind = errors.ContextLengthError if _is_context_overflow(details, by_message=True) else APIError
    redact = redactor_of(call, secrets)
    response, body = _safe_response(response, body, redact), _safe_body(body, redact)
    details = _safe_details(body, redact)
    message = f"error in the {where} {call.method} {redact(call.safe_path)}: {details.message or _NO_MESSAGE}"
    return _response_error(kind, message, response, call, details, body=body)


def invalid_response(
    problem: Exception | str, response: Response, call: Call[Any], secrets: Iterable[str] = ()
) -> errors.APIResponseValidationError:
    """Returns the error for a response that cannot be parsed."""
    redact = redactor_of(call, secrets)
    response = _safe_response(response, read_error_body(response.content), redact)
    message = f"the response to {call.method} {redact(call.safe_path)} cannot be parsed: {redact(_problem(problem))[:500]}"
    kind = errors.APIResponseValidationError
    return _response_error(kind, message, response, call, status_code=response.status_code, body=response.text[:_MAX_MESSAGE])


def not_a_stream(response: Response, call: Call[Any], secrets: Iterable[str] = ()) -> APIError:
    """Returns the error for a response that should be an event stream and is not."""
    if error := event_error(response.content, is_error_event=False):
        return stream_error(error, response, call, secrets)
    content_type = response.headers.get("content-type", "nothing")
    return invalid_response(f"an event stream was expected, but {content_type} came", response, call, secrets)


def connection_error(
    failure: Failure,
    call: Call[Any],
    attempts: int,
    kind: type[errors.APIConnectionError] | None = None,
    secrets: Iterable[str] = (),
    advice: str = "",
) -> errors.APIConnectionError:
    """Returns the error for a call without a response, or with an incomplete one; `advice` is what to do."""
    redact = redactor_of(call, secrets)
    kind = kind or (errors.APITimeoutError if failure.timeout else errors.APIConnectionError)
    tries = f" after {attempts} attempts" if attempts > 1 else ""
    address = f" at {redact(address)}" if (address := _address(failure.url, call)) else ""
    message = f"{call.method} {redact(call.safe_path)}{address} failed{tries}: {redact(failure.reason)[:_MAX_MESSAGE]}"
    message += f". {advice}" if advice else ""
    return kind(message + _billable_warning(call, failure.maybe_received), attempts=attempts)


def _address(url: str, call: Call[Any]) -> str:
    """Returns host, port and a gateway's path prefix of the URL of a call; the path of any other URL may hold credentials."""
    if call.external or not url:
        return ""
    host, path = host_of(url), urlsplit(url).path
    return host + path.removesuffix(call.safe_path) if host and path.endswith(call.safe_path) else host


def event_error(data: bytes, is_error_event: bool) -> Any:
    """Returns the error that an event reports, or None. A key `error` with an empty value is no error."""
    try:
        body = read_error_body(data) if is_error_event else from_json(data)
    except ValueError:
        return None
    if isinstance(body, Mapping):
        choices = body.get("choices")
        for part in (body, *(choices if isinstance(choices, list) else ())):
            if isinstance(part, Mapping) and (part.get("error") or part.get("object") == "error"):
                return part if len(data) <= MAX_LENGTH else read_error_body(to_json(part))
    return (body or "unnamed error") if is_error_event else None


def redactor_of(call: Call[Any], secrets: Iterable[str]) -> Redactor:
    """Returns the redactor for the secrets of a client and those of a call."""
    of_call = (*secret_headers(call.headers), *secret_parameters(call.query), *secrets_of_url(call.path))
    return redactor((*secrets, *call.secrets, *of_call))


def redact_error(error: BaseException | None, secrets: Iterable[str]) -> None:
    """Removes the secrets from an exception that a flow made of what the service said, and from those that led to it."""
    redact = redactor(tuple(secrets))
    ids: set[int] = set()
    while error is not None and id(error) not in ids:
        ids.add(id(error))
        if isinstance(error, TogetherError):
            error.args = tuple(redact(error.args))
            vars(error).update({name: redact(value) for name, value in vars(error).items()})
        # An exception of httpx has the request with its headers, one of pydantic the values of the response.
        if type(error.__cause__).__module__.startswith(_FOREIGN):
            error.__cause__ = None
        if type(error.__context__).__module__.startswith(_FOREIGN):
            error.__context__ = None
        error = error.__cause__ or error.__context__


def _status_class(status: int, details: ErrorDetails) -> type[APIStatusError]:
    if status >= 400 and _is_context_overflow(details, by_message=status in _CONTEXT_STATUSES):
        return errors.ContextLengthError
    if status in (400, 404) and (details.code in _UNAVAILABLE_CODES or _NOT_SERVERLESS.search(details.message[:_MAX_MESSAGE])):
        is_missing = status == 404 or details.code == "model_not_found"
        return errors.ModelNotFoundError if is_missing else errors.ModelNotServerlessError
    if status == 404 and _MISSING_MODEL.search(details.message[:_MAX_MESSAGE]):
        return errors.ModelNotFoundError
    if status >= 400 and (kind := _BY_CODE.get(details.code or "") or _BY_CODE.get(details.type or "")):
        return kind
    if kind := errors.BY_STATUS.get(status):
        return kind
    return errors.InternalServerError if status >= 500 else errors.APIStatusError


def _is_context_overflow(details: ErrorDetails, *, by_message: bool) -> bool:
    """Whether an error is about the length of the context: by its code or type, or by its message if these give no other reason."""
    reasons = [reason for reason in (details.code, details.type) if reason]
    if any(_CONTEXT_CODE.search(reason[:100]) for reason in reasons):
        return True
    is_general = all(_is_general(reason[:100]) for reason in reasons)
    return by_message and is_general and bool(_CONTEXT_MESSAGE.search(details.message[: 2 * _MAX_MESSAGE]))


def _is_general(reason: str) -> bool:
    """Whether a code or type, such as `400`, `BadRequestError` or a URL, leaves it to the message to say what is wrong."""
    return ":" in reason or all(word.lower() in _GENERAL_WORDS for word in _WORD.findall(reason))


def _response_error(
    kind: type[E],
    message: str,
    response: Response,
    call: Call[Any],
    details: ErrorDetails | None = None,
    advise: Advise = advice,
    **attributes: Any,
) -> E:
    """Returns an error with all that its response says, and a message with a hint, the request id and the number of attempts."""
    parts = [message if message.endswith((".", "!", "?")) else message + "."]
    parts += _hints(kind, call, advise, message)
    if response.request_id:
        parts.append(f"(request id {response.request_id})")
    if response.attempts > 1:
        parts.append(f"({response.attempts} attempts)")
    if response.origin:
        parts.append(f"({response.origin})")
    message = " ".join(parts) + _billable_warning(call, response.status_code >= 500)
    if details:
        attributes |= {"type": details.type, "param": details.param, "code": details.code}
    attributes = {"headers": response.headers, "request_id": response.request_id, "attempts": response.attempts, **attributes}
    return kind(message, response=response, **attributes)


def _hints(kind: type[TogetherError], call: Call[Any], advise: Advise, message: str) -> list[str]:
    """Returns what to do after an error, unless the server has said which model may be meant."""
    if issubclass(kind, errors.ContextLengthError) and _TYPE_BY_PATH.get(call.path):
        return ["Shorten or split the texts, or choose a model with a longer context."]
    if issubclass(kind, errors.ModelNotAvailableError):
        return (
            [] if _NAMES_MODELS.search(message) and not call.path.startswith(_FINE_TUNES) else [_model_hint(kind, call, advise)]
        )
    return [hint for cause, hint in _HINTS if issubclass(kind, cause)][:1]


def _model_hint(kind: type[TogetherError], call: Call[Any], advise: Advise) -> str:
    """Returns what to do when a model is not available, for the model and the endpoint of a call."""
    model = call.body.get("model") if isinstance(call.body, Mapping) else None
    if call.path.startswith(_FINE_TUNES):
        return "Check the name: client.fine_tuning.list_supported_models() lists all models that can be fine-tuned."
    hint = advise(model if isinstance(model, str) else "", _TYPE_BY_PATH.get(call.path))
    if issubclass(kind, errors.DataSharingBlockedError):
        return f"An owner of the organization must allow it in the settings of the account; other models need no such consent. {hint}"
    return f"Check the name. {hint}" if issubclass(kind, errors.ModelNotFoundError) and not is_known(model or "") else hint


def _billable_warning(call: Call[Any], maybe_accepted: bool) -> str:
    if not call.billable or not maybe_accepted:
        return ""
    return f" It was not retried, because the service may have accepted it: check {call.billable} before you send it again."


def _safe_response(response: Response, body: Any, redact: Redactor) -> Response:
    """Returns a response without secrets and with as much of its body as an error keeps; `body` is that body, parsed."""
    headers = {redact(name): redact(value) for name, value in response.headers.items()}
    content, text = response.content, _decoded(response.content)
    safe_body, safe_text = _safe_body(body, redact), redact.cut(text)
    if safe_body != body or safe_text != text:
        content = safe_text.encode() if isinstance(body, str) else to_json(safe_body, inf_nan_mode="constants")
    return replace(response, headers=headers, content=content)


def _safe_body(body: Any, redact: Redactor) -> Any:
    return redact.cut(body) if isinstance(body, str) else redact(body)


def _safe_details(body: Any, redact: Redactor) -> ErrorDetails:
    """Returns the content of a body that has no secrets, nor gets them when its escapes are resolved."""
    message, *others = (text and redact(text)[:_MAX_MESSAGE] for text in parse_error(body))
    return ErrorDetails(message or "", *others)


def _problem(problem: Exception | str) -> str:
    """Returns what is wrong with a response, without its values: pydantic cuts them, so that a secret is not recognised in them."""
    if isinstance(problem, ValidationError):
        problems = problem.errors(include_url=False, include_context=False, include_input=False)[:3]
        texts = [": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"]))) for each in problems]
        return f"{problem.error_count()} invalid in {problem.title}: {'; '.join(texts)}"
    lines = [line.strip() for line in str(problem).splitlines()]
    return "; ".join(lines) if isinstance(problem, str) else f"{type(problem).__name__}: {' '.join(lines[:3])}"


def _text(value: Any) -> str | None:
    try:
        return None if value is None else str(value)[:MAX_LENGTH]
    except (ValueError, RecursionError):  # a number of many digits; many levels
        return None
