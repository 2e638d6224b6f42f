"""`POST /v1/chat/completions`: the same answer, at once or in chunks."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

from together_adapters.emulator import conversation
from together_adapters.emulator.conversation import Conversation, ParsedToolCall
from together_adapters.emulator.engine import responder
from together_adapters.emulator.engine.responder import ModelReply
from together_adapters.emulator.errors import bad_request
from together_adapters.emulator.generation import REASONING, Generation, truncate, usage
from together_adapters.emulator.http.answers import Answer
from together_adapters.emulator.http.behaviour import Behaviour
from together_adapters.emulator.http.engine_calls import CompletionCall
from together_adapters.emulator.http.pending import Pending
from together_adapters.emulator.http.responses import EventStream, compact
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.routes.sampling_params import EOS_TOKEN, SamplingRequest, logprobs_of, text_deltas
from together_adapters.emulator.routes.served_models import find_served_model, refuse_media
from together_adapters.emulator.store.fine_tune_job import FineTuneJob
from together_adapters.emulator.store.nearest_example import TrainingExample, image_urls
from together_adapters.emulator.text.features import count_tokens, token_id, tokenize
from together_adapters.types.capabilities import Capabilities, capabilities

_TOKENS_PER_MESSAGE: Final = 4  # tokens that a chat template adds to each message
_TOKENS_PER_IMAGE: Final = 256
_ARGUMENTS_CHUNK: Final = 7


class _ChatRequest(SamplingRequest):
    messages: Any = None

    @classmethod
    def read(cls, context: RequestContext, body: Any = None) -> Self:
        """Validates a body; the service of today refuses tools together with a response format."""
        request = super().read(context, body)
        if request.tools and (request.response_format or {}).get("type") not in (None, "text"):
            message = (
                "tools and response_format cannot be used in one request: send the tools first, then the response format "
                "without tools."
            )
            error = bad_request(message, param="response_format")
            context.grant(error, "tools with a response format", "tools-with-format")
        if (request.response_format or {}).get("type") == "regex":
            error = bad_request("This model does not take a response_format of type regex.", param="response_format")
            if refusal := context.state.record.refusal("regex", error):
                raise refusal
        return request


@dataclass(frozen=True, slots=True)
class ChatExchange:
    """A valid chat request, with the generations that answer it."""

    context: RequestContext
    model: str
    params: SamplingRequest
    conversation: Conversation
    generations: list[Generation]
    reasoning_field: str
    prompt_tokens: int
    created: int
    answer: Answer | None = None

    @property
    def seed(self) -> int:
        return self.params.seed_of_response(self.context.behaviour)

    @property
    def logprobs_format(self) -> str:
        """`openai` or `together`."""
        return logprobs_format(self.context.behaviour, self.model)

    def tool_call(self, call: ParsedToolCall, index: int, arguments: str | None) -> dict[str, Any]:
        """Returns a tool call of the response, with an id that is unique in this emulator, or that a test has set."""
        function = {"name": call.name, "arguments": arguments}
        id = f"call_{self.context.id[1:7].lower()}{index:02d}"
        return {"index": index, "id": (self.answer and call.id) or id, "type": "function", "function": function}


def complete(context: RequestContext) -> dict[str, Any] | EventStream | Pending:
    """Answers a chat request."""
    exchange = _exchange(context)
    if isinstance(exchange, Pending):
        return exchange
    usage = _usage(exchange)
    context.charge.count(usage, exchange.params.stream)
    return (
        EventStream(_chunks(exchange, usage), context.behaviour.delay) if exchange.params.stream else _completion(exchange, usage)
    )


def _exchange(context: RequestContext) -> ChatExchange | Pending:
    body, strict = context.body, context.behaviour.strict
    model, facts = find_served_model(context)
    job = context.stores.jobs.of_model(model)
    messages = conversation.parse_messages(body.get("messages"), strict)
    refuse_media(model, facts, (kind for message in messages.messages for kind in message.media))
    prompt_tokens = _prompt_tokens(messages, body)
    params, max_tokens = _ChatRequest.read_with_limit(context, facts, prompt_tokens)
    context.charge.admit("chat", model, facts, prompt_tokens)
    if answer := context.answer("chat"):
        reply, reasoning = _model_reply(answer), answer.reasoning
        field = _field_of_answer(context, facts) if reasoning else "none"
    elif job and (example := _nearest_example(context, job, messages)):
        reply, reasoning = ModelReply(example.answer, example.tool_calls, verbatim=True), example.reasoning
        field = _reasoning_field(context, params, capabilities(job.base_model)) if reasoning else "none"
    elif "chat" in context.state.remote:
        return _remote_call(context, model, facts, params, messages, prompt_tokens)
    else:
        reply = responder.respond(messages, body)
        field = _reasoning_field(context, params, facts)
        reasoning = "" if field == "none" else responder.explain(messages, reply, params.reasoning_effort)
    generations = [_generation(context, params, max_tokens, reply.variant(index), reasoning, field) for index in range(params.n)]
    if answer and answer.finish_reason:
        generations = [replace(generation, finish_reason=answer.finish_reason) for generation in generations]
    return ChatExchange(context, model, params, messages, generations, field, prompt_tokens, int(time.time()), answer)


def _remote_call(
    context: RequestContext, model: str, facts: Capabilities, params: SamplingRequest, messages: Conversation, prompt_tokens: int
) -> CompletionCall:
    """Returns the call of the engine that answers in place of the rules."""
    field = context.behaviour.reasoning
    field = (facts.reasoning or "reasoning") if field == "auto" else field
    prompt = "\n".join(message.text for message in messages.messages)
    form = params.answer_form(context, model, prompt_tokens, prompt, logprobs_format(context.behaviour, model), field)
    return CompletionCall(context, "chat", form, params.n, params.has_usage(context.behaviour))


def logprobs_format(behaviour: Behaviour, model: str) -> Literal["openai", "together"]:
    """Returns the format of log-probabilities of a model."""
    if behaviour.logprobs == "auto":
        return "openai" if model.lower().startswith("openai/gpt-oss") else "together"
    return behaviour.logprobs


def _model_reply(answer: Answer) -> ModelReply:
    """Returns the reply that a test has set."""
    return ModelReply(
        answer.content, answer.tool_calls, verbatim=True, scores=answer.logprobs, refusal=answer.refusal, tokens=answer.tokens,
        deltas=answer.deltas,
    )  # fmt: skip


def _field_of_answer(context: RequestContext, facts: Capabilities) -> str:
    """Returns the field of the reasoning that a test has set, which is sent for any model and whatever the request says."""
    if context.behaviour.reasoning not in ("auto", "none"):
        return context.behaviour.reasoning
    return facts.reasoning or "reasoning"


def _nearest_example(context: RequestContext, job: FineTuneJob, messages: Conversation) -> TrainingExample | None:
    """Returns the example that a fine-tuned model answers with; None where it answers like its base model."""
    if messages.tool_results:
        return None
    contents = [message.get("content") for message in context.body["messages"] if message["role"] == "user"]
    return context.stores.jobs.nearest_example(job, messages.prompt, image_urls(contents[-1]) if contents else ())


def _prompt_tokens(messages: Conversation, body: dict[str, Any]) -> int:
    text = sum(count_tokens(message.text) + _TOKENS_PER_MESSAGE for message in messages.messages)
    media = sum(len(message.media) * _TOKENS_PER_IMAGE for message in messages.messages)
    schemas = sum(count_tokens(compact(body[name]).decode()) for name in ("tools", "response_format") if body.get(name))
    return text + media + schemas


def _reasoning_field(context: RequestContext, params: SamplingRequest, facts: Capabilities) -> str:
    """Returns the field of the message that contains the reasoning; `tags` for the text itself, or `none`."""
    if context.behaviour.reasoning != "auto":
        return context.behaviour.reasoning
    field = facts.reasoning
    if field is None or (field == "tags" and params.response_format):
        return "none"
    if facts.reasoning_switch == "effort":
        return field  # an effort shortens its reasoning; nothing switches it off
    flags = params.chat_template_kwargs or {}
    switches = ((params.reasoning or {}).get("enabled"), flags.get("thinking"), flags.get("enable_thinking"))
    is_off = any(switch is False for switch in switches) or params.reasoning_effort == "none"
    return "none" if is_off and field != "tags" else field


def _generation(
    context: RequestContext, params: SamplingRequest, max_tokens: int | None, reply: ModelReply, reasoning: str, field: str
) -> Generation:
    text = reply.text
    if field == "tags":
        text = f"<think>\n{reasoning}\n</think>\n\n{text}"
    reasoning_tokens, finish_reason = truncate("" if field in ("tags", "none") else reasoning, (), max_tokens, "stop")
    if finish_reason == "length":
        return Generation([], "length", (), reasoning_tokens)
    own_tokens = [*tokenize(text[: len(text) - len(reply.text)]), *reply.tokens] if reply.tokens else ()
    refusal = tokenize(reply.refusal)
    if reply.tool_calls or reply.deltas:
        finish_reason = "tool_calls" if reply.tool_calls else context.behaviour.finish
        tokens = [*own_tokens] or tokenize(text)
        return Generation(tokens, finish_reason, reply.tool_calls, reasoning_tokens, reply.scores, refusal, reply.deltas)
    tokens_left = None if max_tokens is None else max_tokens - len(reasoning_tokens)
    tokens, finish_reason = truncate(text, params.stop_sequences, tokens_left, context.behaviour.finish, own_tokens)
    begin = len(tokenize(text)) - len(tokenize(reply.text)) if reply.scores else 0  # behind tags
    return Generation(tokens, finish_reason, (), reasoning_tokens, [{}] * begin + [*reply.scores], refusal)


def _usage(exchange: ChatExchange) -> dict[str, Any]:
    generations = exchange.generations
    text = sum(len(each.tokens) + len(each.reasoning_tokens) + len(each.refusal_tokens) for each in generations)
    calls = sum(
        count_tokens(call.name + (_arguments(call) or "")) for generation in generations for call in generation.tool_calls
    )
    cached = sum(count_tokens(message.text) for message in exchange.conversation.messages[:-1]) // 16 * 16
    is_nested = exchange.context.behaviour.cached_tokens == "nested"
    counts = usage(exchange.prompt_tokens, text + calls, cached, sum(map(_reasoning_tokens, generations)), is_nested)
    return exchange.answer.with_counts(counts) if exchange.answer else counts


def _reasoning_tokens(generation: Generation) -> int:
    if not generation.text.startswith("<think>"):
        return len(generation.reasoning_tokens)
    return len(tokenize(generation.text.partition("</think>")[0]))


def _arguments(call: ParsedToolCall) -> str | None:
    if call.text is not ...:
        return call.text  # type: ignore[no-any-return]
    return json.dumps(call.arguments, ensure_ascii=False, separators=(",", ":"))


def _completion(exchange: ChatExchange, usage: dict[str, Any]) -> dict[str, Any]:
    prompt = "\n".join(message.text for message in exchange.conversation.messages) if exchange.params.echo else ""
    completion: dict[str, Any] = {
        "id": exchange.context.id,
        "object": "chat.completion",
        "created": exchange.created,
        "model": exchange.model,
        "prompt": exchange.params.echoed_prompt(prompt, None if exchange.params.logprob_count is None else 1),
        "choices": [_choice(exchange, generation, index) for index, generation in enumerate(exchange.generations)],
    }
    if exchange.context.behaviour.usage != "none":
        completion["usage"] = usage
    return completion


def _choice(exchange: ChatExchange, generation: Generation, index: int) -> dict[str, Any]:
    calls = [exchange.tool_call(call, number, _arguments(call)) for number, call in enumerate(generation.tool_calls)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": generation.text if generation.text or not (calls or generation.refusal_tokens) else None,
        "tool_calls": calls,
    }
    if generation.refusal_tokens:
        message["refusal"] = "".join(generation.refusal_tokens)
    if generation.reasoning_tokens:
        message[exchange.reasoning_field] = "".join(generation.reasoning_tokens)
    return {
        "index": index,
        "finish_reason": generation.finish_reason,
        "seed": exchange.seed,
        "logprobs": logprobs_of(generation.tokens, exchange.params.logprob_count, exchange.logprobs_format, generation.scores),
        "message": message,
    }


def _chunks(exchange: ChatExchange, usage: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields a generation in chunks: reasoning, text, a refusal, tool calls, and the end with its usage."""
    generation, behaviour, params = exchange.generations[0], exchange.context.behaviour, exchange.params
    charge = exchange.context.charge
    output = charge.output
    texts = output["text"]
    no_content = None if behaviour.null_content else ""
    is_first = True

    def chunk(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
        nonlocal is_first
        role = {"role": "assistant"} if is_first or behaviour.role_every_chunk else {}
        delta = {"token_id": None, **role, "content": no_content, **delta}
        is_first = False
        choice = {
            "index": 0, "text": delta["content"] or "", "logprobs": None, "finish_reason": finish, "seed": None, "delta": delta,
        } | fields  # fmt: skip
        return _envelope(exchange, [choice])

    for delta in generation.deltas:
        choices = [{**choice, "delta": choice.get("delta") or {}} for choice in delta.get("choices", ())]
        yield {**_envelope(exchange, choices), **delta, "choices": choices} if "choices" in delta else chunk(dict(delta))
        for item in [choice["delta"] for choice in choices] if "choices" in delta else [delta]:
            _count_delta(output, item)
    for token in () if generation.deltas else generation.reasoning_tokens:
        yield chunk({exchange.reasoning_field: token, "token_id": token_id(token)})
        output[REASONING].append(token)
    count, format, scores = params.logprob_count, exchange.logprobs_format, generation.scores
    for delta, fields in text_deltas([] if generation.deltas else generation.tokens, behaviour, count, format, scores):
        yield chunk(delta, **fields)
        texts.append(delta["content"])
    for token in () if generation.deltas else generation.refusal_tokens:
        yield chunk({"refusal": token, "token_id": token_id(token)})
        output["refusal"].append(token)
    for calls, finish in () if generation.deltas else _tool_deltas(exchange, generation):
        yield chunk({"tool_calls": calls} if calls else {}, finish)
        for call in calls:
            output[f"call {call.get('index')}"] += call["function"].values()
    has_usage = params.has_usage(behaviour)
    last = chunk({"token_id": EOS_TOKEN}, generation.finish_reason, seed=exchange.seed)
    if behaviour.usage not in ("separate", "asked-separate"):
        yield last | {"usage": usage if has_usage else None}
        charge.is_complete = True
        return
    yield last
    charge.is_complete = True
    if has_usage:
        yield _envelope(exchange, []) | {"usage": usage}


def _count_delta(output: defaultdict[str, list[str]], delta: Mapping[str, Any]) -> None:
    """Counts a delta that a test has set, as the others are."""
    output["text"].append(delta.get("content") or "")
    if reasoning := delta.get("reasoning") or delta.get("reasoning_content"):
        output[REASONING].append(reasoning)
    for call in delta.get("tool_calls") or ():
        output[f"call {call.get('index')}"] += [text for text in (call.get("function") or {}).values() if text]


def _envelope(exchange: ChatExchange, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": exchange.context.id,
        "object": "chat.completion.chunk",
        "created": exchange.created,
        "choices": choices,
        "model": exchange.model,
        "usage": None,
    }


def _tool_deltas(exchange: ChatExchange, generation: Generation) -> Iterator[tuple[list[dict[str, Any]], str | None]]:
    """Yields tool calls in the way of `Behaviour.tool_deltas`, each with the finish reason of its chunk."""
    if not generation.tool_calls:
        return
    mode = exchange.context.behaviour.tool_deltas
    texts = [_arguments(call) for call in generation.tool_calls]
    if mode in ("whole", "one-chunk"):
        calls = [exchange.tool_call(call, index, texts[index]) for index, call in enumerate(generation.tool_calls)]
        yield from ([(calls, None)] if mode == "one-chunk" else [([call], None) for call in calls])
        return
    yield [], None
    heads = [exchange.tool_call(call, index, "") for index, call in enumerate(generation.tool_calls)]
    parts = [_argument_deltas(text or "", index) for index, text in enumerate(texts)]
    if mode == "interleaved":
        yield from (([head], None) for head in heads)
        for step in range(max(map(len, parts))):
            yield from (([deltas[step]], None) for deltas in parts if step < len(deltas))
        return
    for head, deltas in zip(heads, parts, strict=True):
        for position, delta in enumerate([head, *deltas]):
            finish = "tool_calls" if mode == "repeat-finish" and position == len(deltas) else None
            if mode == "same-index":
                delta["index"] = 0
            elif mode == "no-index":
                del delta["index"]
            yield [delta], finish
        if mode == "repeat-finish":
            yield [], None


def _argument_deltas(text: str, index: int) -> list[dict[str, Any]]:
    """Returns arguments as a model streams them: a few characters per delta."""
    starts = range(0, len(text), _ARGUMENTS_CHUNK)
    return [{"index": index, "function": {"arguments": text[start : start + _ARGUMENTS_CHUNK]}} for start in starts]


ROUTES: Any = [json_route("/v1/chat/completions", complete)]
