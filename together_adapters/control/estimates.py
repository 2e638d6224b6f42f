"""What a request may use, before it is sent: estimates of tokens, and of what is not sold by the token."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from pydantic_core import to_json

from together_adapters.control.prices import Amount, Tokens
from together_adapters.resources.rerank_prompts import estimated_tokens as text_tokens
from together_adapters.transport.bodies import Form

KINDS: Final[Mapping[str, str]] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completion",
    "/v1/embeddings": "embeddings",
    "/v1/rerank": "rerank",
    "/v1/images/generations": "image",
    "/v2/videos": "video",
    "/v1/audio/speech": "speech",
    "/v1/audio/transcriptions": "transcription",
    "/v1/audio/translations": "translation",
    "/v1/tci/execute": "code",
    "/v1/fine-tunes": "fine-tune",
    "/v1/batches": "batch",
    "/v1/evaluation": "evaluation",
    "/v1/endpoints": "endpoint",
}
"""Kinds of calls that use models or money, by the paths to which they are posted."""

RECORDINGS: Final = frozenset({"transcription", "translation"})
"""Kinds of calls that are sold by the length of a recording."""

DEFAULT_OUTPUT: Final = 1024
"""Tokens of an answer without a limit, of a model that has not answered yet."""
_SEQUENCES: Final = (list, tuple)
_MAPPINGS: Final = (dict, Mapping)  # the first is known at once, the second must be asked
_NUMBERS: Final = (int, float)
_RECENT: Final = 20  # answers of a model whose largest is the estimate of the next
_MAX_MODELS: Final = 1024
_BYTES_PER_TOKEN: Final = 3
_MESSAGE_TOKENS: Final = 8
_PLAIN_FIELDS: Final = ("role", "content")
_MEDIUM_TOKENS: Final = 1600  # of an image or a recording in a message
_IMAGE_SIZE: Final = 1024
_SPEECH_BYTES: Final = 4000  # of a second of a recording that is packed well
_VIDEO_SECONDS: Final = 10.0
MAX_COUNT: Final = 1 << 40
"""Tokens of one request; more is a mistake, which must not become a cost that no column can hold."""


class OutputHistory:
    """How long the answers of models were."""

    def __init__(self) -> None:
        self._outputs: dict[tuple[str, str], deque[int]] = {}

    def add(self, kind: str, model: str, tokens: int) -> None:
        """Adds an answer to a request of a kind of call."""
        outputs = self._outputs.get((kind, model))
        if outputs is None:
            if len(self._outputs) >= _MAX_MODELS:
                self._outputs.clear()
            outputs = self._outputs.setdefault((kind, model), deque(maxlen=_RECENT))
        outputs.append(tokens)

    def expect(self, kind: str, model: str) -> int:
        """Returns how long an answer may be: as the longest of the last ones."""
        outputs = self._outputs.get((kind, model))
        return max(outputs.copy()) if outputs else DEFAULT_OUTPUT


def kind_of(path: str) -> str | None:
    """Returns the kind of calls that are posted to a path, however servers let it be written; None if they are free."""
    if "%" in path or "//" in path or path.endswith("/"):
        path = "/" + "/".join(filter(None, unquote(path).split("/")))
    return KINDS.get(path)


def params_of(body: Any) -> Mapping[str, Any]:
    """Returns the parameters in a body."""
    if isinstance(body, _MAPPINGS):
        return body
    return dict(body.fields) if isinstance(body, Form) else {}


def estimated_tokens(kind: str, params: Mapping[str, Any], expected: int) -> Tokens:
    """Estimates the tokens of a request; its answer is expected to be so long where it has no limit."""
    if kind == "chat":
        tokens = _messages_tokens(params.get("messages"))
        if tools := params.get("tools"):
            tokens += _json_tokens(tools)
        if response_format := params.get("response_format"):
            tokens += _json_tokens(response_format)
        return Tokens(tokens, 0, _output_tokens(kind, params, expected))
    if kind == "completion":
        return Tokens(_texts_tokens(params.get("prompt")), output=_output_tokens(kind, params, expected))
    if kind == "embeddings":
        return Tokens(_texts_tokens(params.get("input")))
    if kind == "rerank":
        documents = params.get("documents") or ()
        queries = text_tokens(str(params.get("query") or "")) * len(documents)
        return Tokens(queries + sum(text_tokens(each) if isinstance(each, str) else _json_tokens(each) for each in documents))
    return Tokens()


def estimated_amount(kind: str, params: Mapping[str, Any], body: Any) -> dict[str, float]:
    """Estimates what a request uses that is not sold by the token, in every unit that a price may name."""
    amount: dict[str, float] = {"request": 1}
    if kind == "image":
        width, height = (_number(params.get(name)) or _IMAGE_SIZE for name in ("width", "height"))
        amount |= images_amount(_number(params.get("n")) or 1, width * height)
    elif kind == "speech":
        text = params.get("input")
        amount |= characters_amount(len(text) if isinstance(text, str) else 0)
    elif kind in RECORDINGS and (size := _recording_bytes(body)) is not None:
        amount |= seconds_amount(size / _SPEECH_BYTES)
    elif kind == "video":
        amount |= {"video": 1, **seconds_amount(_number(params.get("seconds")) or _VIDEO_SECONDS)}
    return amount


def images_amount(count: float, pixels: float) -> dict[str, float]:
    """Returns images as units of a price."""
    return {"image": count, "megapixel": count * pixels / 1_000_000}


def characters_amount(count: float) -> dict[str, float]:
    """Returns the characters of a text as units of a price."""
    return {"character": count, "million_characters": count / 1_000_000}


def seconds_amount(seconds: float) -> dict[str, float]:
    """Returns a duration as units of a price."""
    return {"second": seconds, "minute": seconds / 60}


def final_amount(kind: str, estimate: Amount, value: Any) -> tuple[Amount, bool]:
    """Returns what a call has used by its response, and whether that is still an estimate."""
    if kind == "image" and (count := len(getattr(value, "data", None) or ())):
        pixels = 1_000_000 * estimate["megapixel"] / (estimate["image"] or 1)
        return {**estimate, **images_amount(count, pixels)}, False
    if kind in RECORDINGS:
        seconds = _number(getattr(value, "duration", None))
        return ({**estimate, **seconds_amount(seconds)}, False) if seconds else (estimate, True)
    if kind == "video":
        return estimate, "second" in estimate
    return estimate, kind in ("fine-tune", "batch", "evaluation", "endpoint")


def answer_tokens(body: Mapping[str, Any]) -> int:
    """Estimates the tokens of a whole answer whose usage nobody reports."""
    choices = body.get("choices")
    return sum(map(_json_tokens, choices)) if isinstance(choices, list) else 0


def chunk_characters(chunk: Any) -> int:
    """Returns how much text a chunk of a stream adds: answer, reasoning and arguments of tool calls."""
    choices: Any = field_of(chunk, "choices") or ()
    if len(choices) == 1 and (content := field_of(field_of(choices[0], "delta"), "content")):  # as nearly all chunks are
        return len(content)
    count = 0
    for choice in choices:
        count += len(field_of(choice, "text") or "")
        if (delta := field_of(choice, "delta")) is not None:
            count += len(field_of(delta, "content") or "") + len(
                field_of(delta, "reasoning") or field_of(delta, "reasoning_content") or ""
            )
            for call in field_of(delta, "tool_calls") or ():
                function = field_of(call, "function")
                count += len(field_of(function, "arguments") or "") + len(field_of(function, "name") or "")
    return count


def usage_tokens(usage: Any) -> Tokens | None:
    """Returns the counts of a usage, flat or nested; None if it has none, or one that no request can have."""
    fields = usage if isinstance(usage, dict) else getattr(usage, "__dict__", {})
    get = fields.get
    prompt, completion, total = counts = get("prompt_tokens"), get("completion_tokens"), get("total_tokens")
    if prompt is completion is total is None:
        return None
    for count in counts:
        if count is not None and not (isinstance(count, _NUMBERS) and 0 <= count < MAX_COUNT):
            return None
    output = int(completion or 0)
    tokens = Tokens(max(int(total or 0) - output, 0) if prompt is None else int(prompt), 0, output)
    cached, of_prompt = get("cached_tokens"), get("prompt_tokens_details")
    if not (cached is of_prompt is None):
        tokens.cached = _detail(of_prompt, cached, "cached_tokens")
    reasoning, of_completion = get("reasoning_tokens"), get("completion_tokens_details")
    if not (reasoning is of_completion is None):
        tokens.reasoning = _detail(of_completion, reasoning, "reasoning_tokens")
    return tokens


def field_of(fields: Any, name: str) -> Any:
    """Returns a field of an object or of a model of one."""
    return fields.get(name) if isinstance(fields, dict) else getattr(fields, name, None)


def _detail(nested: Any, flat: Any, name: str) -> int:
    """Returns a count that some servers nest in an object of details, and others do not."""
    count = None if nested is None else field_of(nested, name)
    count = flat if count is None else count
    return int(count) if isinstance(count, _NUMBERS) and 0 <= count < MAX_COUNT else 0


def _number(value: Any) -> float:
    try:
        return max(float(value), 0.0)
    except (TypeError, ValueError):
        return 0.0


def _output_tokens(kind: str, params: Mapping[str, Any], expected: int) -> int:
    tokens = params.get("max_tokens") or params.get("max_completion_tokens")
    if not isinstance(tokens, int) or tokens < 0:  # some servers take -1 for no limit
        tokens = expected
    count = params.get("n")
    if isinstance(count, int) and count > 1:
        tokens *= count
    if kind == "completion" and isinstance(prompts := params.get("prompt"), _SEQUENCES) and prompts:
        is_one = any(isinstance(each, int) for each in prompts)  # as ids of tokens
        return tokens if is_one else tokens * len(prompts)
    return tokens


def _messages_tokens(messages: Any) -> int:
    tokens = 0
    for message in messages if isinstance(messages, _SEQUENCES) else ():
        if not isinstance(message, _MAPPINGS):
            continue
        content = message.get("content")
        tokens += _MESSAGE_TOKENS + (text_tokens(content) if isinstance(content, str) else _parts_tokens(content))
        if len(message) == len(_PLAIN_FIELDS) and content is not None:
            continue
        if calls := message.get("tool_calls"):
            tokens += _json_tokens(calls)
        for name in ("reasoning", "reasoning_content"):
            if isinstance(text := message.get(name), str):
                tokens += text_tokens(text)
    return tokens


def _parts_tokens(parts: Any) -> int:
    tokens = 0
    for part in parts if isinstance(parts, _SEQUENCES) else ():
        text = part.get("text") if isinstance(part, Mapping) else part
        tokens += text_tokens(text) if isinstance(text, str) else _MEDIUM_TOKENS
    return tokens


def _texts_tokens(texts: Any) -> int:
    if isinstance(texts, str):
        return text_tokens(texts)
    if not isinstance(texts, _SEQUENCES):
        return 0
    if _are_texts(texts):
        return sum(map(text_tokens, texts))
    return sum(len(each) if isinstance(each, list | tuple) else 1 for each in texts)  # ids of tokens, which other servers take


def _are_texts(texts: Iterable[Any]) -> bool:
    return all(isinstance(text, str) for text in texts)


def _json_tokens(value: Any) -> int:
    try:
        return len(to_json(value, fallback=str)) // _BYTES_PER_TOKEN + 1
    except ValueError:
        return 0


def _recording_bytes(body: Any) -> float | None:
    """Returns the size of a recording that is sent; None for one behind a URL."""
    if not isinstance(body, Form) or "file" not in body.files:
        return None
    content = body.files["file"][1]
    try:
        return float(len(content) if isinstance(content, bytes) else content.stat().st_size)
    except OSError:
        return None
