"""Responses of the service to LangChain's results and their metadata. Pure; streamed chat responses have `chat_stream`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult, Generation, GenerationChunk, LLMResult

from langchain_together_adapters.gateway import METADATA
from langchain_together_adapters.refusals import refusal_blocks, register
from langchain_together_adapters.tool_calls import parse_tool_calls
from together_adapters.adapters.prototypes import copies_of
from together_adapters.adapters.response_fields import (
    REASONING_FIELD,
    add_counts,
    cached_tokens,
    completion_delta,
    finish_reason,
    reasoning_field,
    reasoning_of,
    reasoning_tokens,
)
from together_adapters.types.capabilities import ReasoningStyle
from together_adapters.types.logprobs import content_logprobs
from together_adapters.types.reasoning import split_reasoning

PROVIDER = "together"
register(PROVIDER)
_RENAMED_FIELDS = frozenset({"choices", "usage", "model", "object", METADATA})
_RENAMED_CHOICE_FIELDS = frozenset("index message delta text role finish_reason logprobs top_logprobs tool_calls".split())
_generation_chunk = copies_of(GenerationChunk(text="", generation_info=None))
EXTRA_FIELDS = ("refusal", "function_call")
"""Fields of a message that LangChain keeps in `additional_kwargs`."""


class ParseOptions(NamedTuple):
    """The tags around reasoning at the head of a text, whether content is blocks (`output_version="v1"`), and the model's style."""

    reasoning_tags: tuple[str, str] | None
    content_blocks: bool
    reasoning_style: ReasoningStyle | None = None


def chat_result(response: Mapping[str, Any], options: ParseOptions) -> ChatResult:
    """Return a generation for each choice of a response."""
    choices = response["choices"]
    usage = response.get("usage")
    # Usage counts all choices together, so only the first has it.
    generations = [_generation(response, choice, options, None if n else usage) for n, choice in enumerate(choices)]
    return ChatResult(generations=generations, llm_output={"token_usage": usage or {}, "model_name": response.get("model")})


def _generation(response: Mapping[str, Any], choice: Mapping[str, Any], options: ParseOptions, usage: Any) -> ChatGeneration:
    source = choice.get("message") or {}
    text, reasoning = _text_and_reasoning(source, choice, options)
    calls, invalid = parse_tool_calls(source.get("tool_calls"))
    logprobs = full_logprobs(choice.get("logprobs"))
    extras: dict[str, Any] = {name: source[name] for name in EXTRA_FIELDS if source.get(name) is not None}
    content: Any = text
    if options.content_blocks:
        content = [{"type": "reasoning", "reasoning": reasoning}] if reasoning else []
        content += [{"type": "text", "text": text}] if text else []
        content += refusal_blocks(extras["refusal"]) if extras.get("refusal") else []
    elif reasoning is not None:
        extras["reasoning_content"] = reasoning
    fields = {"additional_kwargs": extras, "tool_calls": calls, "invalid_tool_calls": invalid}
    metadata = response_metadata(response, choice, logprobs)
    if (field := reasoning_field(source)) is not None:
        metadata[REASONING_FIELD] = field
    message = AIMessage(
        content=content,
        usage_metadata=usage_metadata(usage),
        response_metadata=metadata,
        **{name: value for name, value in fields.items() if value},
    )
    info: dict[str, Any] = {"finish_reason": finish_reason(choice.get("finish_reason"))}
    if METADATA in response:
        info[METADATA] = response[METADATA]
    if logprobs:
        info["logprobs"] = logprobs
    return ChatGeneration(message=message, generation_info=info)


def _text_and_reasoning(message: Mapping[str, Any], choice: Mapping[str, Any], options: ParseOptions) -> tuple[str, str | None]:
    """Return a message's text and its reasoning, which has a field of its own or stands between tags in the text."""
    content = message.get("content")
    text = (choice.get("text") or "") if content is None else content
    reasoning = reasoning_of(message)
    if options.reasoning_tags and text:
        is_open = options.reasoning_style is not None and not reasoning
        block, text = split_reasoning(text, options.reasoning_tags, is_open=is_open)
        if block:
            reasoning = (reasoning or "") + block
    return text, reasoning


def llm_result(responses: Sequence[Mapping[str, Any]]) -> LLMResult:
    """Return the result of several prompts."""
    outputs = [{"token_usage": response.get("usage"), "model_name": response.get("model")} for response in responses]
    return _result([_generations(response) for response in responses], outputs)


def streamed_result(chunks: Sequence[GenerationChunk]) -> LLMResult:
    """Return the result of several prompts, each from the merged chunks of its stream."""
    generations = [[Generation(text=chunk.text, generation_info=chunk.generation_info)] for chunk in chunks]
    return _result(generations, [chunk.generation_info or {} for chunk in chunks])


def _result(generations: list[list[Generation]], outputs: list[Any]) -> LLMResult:
    return LLMResult(generations=generations, llm_output={"model_name": None, **sum_usage(outputs)})


def _generations(response: Mapping[str, Any]) -> list[Generation]:
    generations = []
    for number, choice in enumerate(response["choices"]):
        info = response_metadata(response, choice, full_logprobs(choice.get("logprobs")))
        if number == 0:
            info["token_usage"] = response.get("usage") or {}
        generations.append(Generation(text=choice.get("text") or "", generation_info=info))
    return generations


class CompletionWriter:
    """Writes one streamed completion as chunks. Usage, model and finish reason are on the last one alone."""

    def __init__(self) -> None:
        self._response: dict[str, Any] = {}
        self._choice: dict[str, Any] = {}

    def feed(self, chunk: Mapping[str, Any]) -> list[GenerationChunk]:
        """Return the chunks for a chunk of the service."""
        choices = chunk.get("choices") or ()
        choice = choices[0] if choices else {}
        if not choice or choice.get("finish_reason") or chunk.get("usage") or not self._response:
            self._response.update({name: value for name, value in chunk.items() if value is not None and name != "choices"})
            self._choice.update({name: value for name, value in choice.items() if value is not None})
        text = completion_delta(chunk, choice)
        logprobs = chunk_logprobs(choice, text, (choice.get("delta") or {}).get("token_id"))
        if not text and logprobs is None:
            return []
        if logprobs is None:
            return [_generation_chunk(text=text)]
        return [GenerationChunk(text=text, generation_info={"logprobs": logprobs})]

    def end(self) -> GenerationChunk:
        """Return the chunk that ends the completion."""
        response = {name: value for name, value in self._response.items() if name not in ("token", "finish_reason")}
        reason = self._choice.get("finish_reason") or self._response.get("finish_reason")
        info = response_metadata(response, {**self._choice, "finish_reason": reason}, None)
        return GenerationChunk(text="", generation_info={**info, "token_usage": response.get("usage") or {}})


def sum_usage(outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
    """Combine the outputs of a batch: usage is summed, and the model is that of the first output that names one."""
    usage: dict[str, Any] = {}
    model: dict[str, Any] = {}
    for output in filter(None, outputs):
        usage = add_counts(usage, output.get("token_usage") or {})
        if output.get("model_name"):
            model.setdefault("model_name", output["model_name"])
    return {"token_usage": usage, **model}


def usage_metadata(usage: Mapping[str, Any] | None) -> UsageMetadata | None:
    """Return usage as LangChain counts it."""
    if not usage:
        return None
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    total = usage.get("total_tokens") or prompt + completion
    metadata = UsageMetadata(input_tokens=prompt, output_tokens=completion, total_tokens=total)
    input_details, output_details = InputTokenDetails(), OutputTokenDetails()
    if (count := cached_tokens(usage)) is not None:
        input_details["cache_read"] = count
    if (count := (usage.get("prompt_tokens_details") or {}).get("audio_tokens")) is not None:
        input_details["audio"] = count
    if (count := reasoning_tokens(usage)) is not None:
        output_details["reasoning"] = count
    if (count := (usage.get("completion_tokens_details") or {}).get("audio_tokens")) is not None:
        output_details["audio"] = count
    if input_details:
        metadata["input_token_details"] = input_details
    if output_details:
        metadata["output_token_details"] = output_details
    return metadata


def response_metadata(
    response: Mapping[str, Any], choice: Mapping[str, Any], logprobs: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the metadata of a message. Fields of the service that LangChain has no name for keep theirs."""
    metadata = {name: value for name, value in response.items() if name not in _RENAMED_FIELDS and value not in (None, [])}
    for name, value in choice.items():
        if name not in _RENAMED_CHOICE_FIELDS and value not in (None, []):
            metadata[name] = value
    metadata["model_provider"] = PROVIDER
    if model := response.get("model"):
        metadata["model_name"] = model
    metadata["finish_reason"] = finish_reason(choice.get("finish_reason"))
    if logprobs:
        metadata["logprobs"] = logprobs
    return metadata


def full_logprobs(raw: Any) -> dict[str, Any] | None:
    """Return the log-probabilities of a response: a normalized `content`, beside the arrays of a classic engine."""
    if raw is None:
        return None
    if isinstance(raw, list):
        raw = {"content": raw}
    arrays = {name: value for name, value in raw.items() if isinstance(value, list)} if isinstance(raw, Mapping) else {}
    return {**arrays, "content": content_logprobs(raw)}


def chunk_logprobs(choice: Mapping[str, Any], token: str, token_id: Any = None) -> dict[str, Any] | None:
    """Return the log-probabilities of one chunk, so that those of all chunks merge to `full_logprobs`."""
    raw, top = choice.get("logprobs"), choice.get("top_logprobs")
    if raw is None:
        return None
    if not isinstance(raw, int | float):
        return full_logprobs(raw)
    logprobs: dict[str, Any] = {"tokens": [token], "token_logprobs": [float(raw)]}
    if token_id is not None:
        logprobs["token_ids"] = [token_id]
    if isinstance(top, Mapping):
        logprobs["top_logprobs"] = [{text: None if value is None else float(value) for text, value in top.items()}]
    return {**logprobs, "content": content_logprobs(raw, token=token, top=top)}
