"""Generations of Langfuse: observations with `input` and `output`, alone or within their trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.accounting import has_value, unread
from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.chat_template import transcript_of
from together_adapters.finetune.formats.conversation import ConversationBuilder, parsed
from together_adapters.finetune.formats.layouts.provider_messages import role_of
from together_adapters.finetune.formats.llama_index_json import read_llama
from together_adapters.finetune.formats.openai import read_message
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.traces import Result, answer_rows, decoded, selected
from together_adapters.finetune.readers.fields import field, text_or_none
from together_adapters.finetune.records import Converted, Row, Unconvertible

_EXPORTED: Final = frozenset(
    """id index finish_reason response_metadata usage_metadata example tool_call_chunks raw status token_usage from_history metrics created_at
    provider_data stop_after_tool_call""".split()
)
"""What exporters write in a message about it."""
_NAMES: Final = {"toolCalls": "tool_calls", "toolCallId": "tool_call_id"}
_CALL_KEYS: Final = ("tool_calls", "toolCalls", "function_call")
_CALL_TYPES: Final = ("function", "tool_use", "tool_call", "tool-call", "function_call")
_TOOL_KEYS: Final = ("tools", "functions", "toolConfig")
_QUESTION_KEYS: Final = (
    "messages",
    "contents",
    "prompt",
    "prompts",
    "input",
    "query",
    "question",
    "inputs",
    "text",
    "chat_history",
)
_SYSTEM_KEYS: Final = ("system", "system_prompt", "instructions", "system_instruction", "systemInstruction", "systemPrompt")
_PARAMS: Final = frozenset(
    """model model_id modelId model_name temperature top_p top_k n max_tokens max_completion_tokens max_output_tokens stop stop_sequences seed stream
    stream_options tool_choice toolChoice parallel_tool_calls response_format presence_penalty frequency_penalty logit_bias logprobs user store
    metadata extra_body extra_headers timeout inferenceConfig generation_config generationConfig safety_settings invocation_params""".split()
)
_REASONS: Final = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason")
_RESPONSE_KEYS: Final = (
    "usage",
    "model",
    "id",
    "index",
    "stop_sequence",
    "object",
    "created",
    "steps",
    "warnings",
    "logprobs",
    "metrics",
)
_ANSWER_KEYS: Final = frozenset(
    {*_REASONS, "index", "choices", "candidates", "generations", "replies", "usage", "message", "model"}
)
_PLAIN_KEYS: Final = frozenset({"role", "content"})
COLUMNS: Final = frozenset({"type", "level", "input", "output", "traceId", "trace_id", "sessionId", "session_id"})


DOCUMENT_KEYS: Final = frozenset({"observations", "id", "sessionId"})


def observations(document: Any) -> Iterator[Any]:
    """Yields the observations of a trace, each with the trace's session and scores, or the document itself if it is one."""
    items = document.get("observations") if isinstance(document, dict) else None
    if not isinstance(items, list):
        yield document
        return
    context = {"traceId": document.get("id"), "sessionId": document.get("sessionId"), "scores": document.get("scores")}
    for item in items:
        yield {**{key: value for key, value in context.items() if value is not None}, **item} if isinstance(item, dict) else item


def conversation(observation: Any, options: Options) -> Iterator[Result]:
    """Converts a generation."""
    kind = field(observation, "type") or "GENERATION"
    if str(getattr(kind, "value", kind)).upper() != "GENERATION":
        raise Unconvertible("run_not_of_model", f"the observation is a {kind}", skipped=True)
    if str(field(observation, "level")).upper() == "ERROR":
        raise Unconvertible("run_failed", "the call failed", skipped=True)
    output = decoded_output(field(observation, "output"))
    if output is None or output == "":
        raise Unconvertible("run_pending", "the generation has no output", skipped=True)
    selected(observation, options)
    input = decoded(field(observation, "input"), "input")
    question, tools = _question(input)
    group = text_or_none(field(observation, "sessionId", "session_id", "traceId", "trace_id"))
    answers = [({"role": "assistant", **answer}, reason) for answer, reason in _output_messages(output)]
    left_out = _left_out(input)
    for result in answer_rows(lambda: question, answers, _read, options, lambda: tools, group):
        yield result._replace(left_out={**result.left_out, **left_out}) if left_out and isinstance(result, Converted) else result


def _left_out(input: Any) -> Row:
    """Returns what is not read of an input that is an object with messages."""
    if not isinstance(input, dict) or "role" in input or _is_langchain(input):
        return {}
    key = next((key for key in _QUESTION_KEYS if has_value(input.get(key))), None)
    return unread(input, _PARAMS.union(_TOOL_KEYS, _SYSTEM_KEYS, ("config", "kwargs", "args", key or "")), "input")


def _read(builder: ConversationBuilder, message: Any) -> None:
    """Adds a message as an integration writes it, without the exporter's own keys."""
    if type(message) is dict and message.keys() == _PLAIN_KEYS:
        read_message(builder, message)
        return
    if isinstance(message, str):
        message = {"content": message}
    if not isinstance(message, dict):
        raise Unconvertible("message_not_object", f"a message is {kind_of(message)}", builder.path, message)
    if "blocks" in message:
        read_llama(builder, message)
        return
    message = _plain_message(message)
    for key in [key for key in message if "." in key or key in _EXPORTED]:
        if has_value(message[key]) and key not in _EXPORTED:
            builder.leave_out(f"messages[].{key}", message[key])
        del message[key]
    if message.get("invalid_tool_calls"):
        raise Unconvertible(
            "tool_call_invalid", "the arguments of a call could not be parsed", f"{builder.path}.invalid_tool_calls"
        )
    read_message(builder, {"role": "user", **message})


def _plain_message(message: Row) -> Row:
    """Returns a message with `role`, `content` and `tool_calls`, which LangChain and Vercel write under other names."""
    kwargs = message.get("kwargs")
    if message.get("lc") == 1 and isinstance(kwargs, dict):
        message = {"type": str(message.get("id", [""])[-1]).removesuffix("Chunk").removesuffix("Message").lower(), **kwargs}
    if "role" not in message and role_of(message.get("type")):
        data = message.get("data")
        message = {"role": role_of(message["type"]), **(data if isinstance(data, dict) else message)}
        del message["type"]
    message = {_NAMES.get(str(key), str(key)): value for key, value in message.items()}
    if isinstance(message.get("text"), str) and message.keys().isdisjoint(("content", "parts")):
        message["content"] = message.pop("text")
    extra = message.pop("additional_kwargs", None) or {}
    message |= {key: value for key, value in extra.items() if not message.get(key)}
    if isinstance(calls := message.get("tool_calls"), list):
        message["tool_calls"] = [_call(one) or one for one in calls]
    return message


def _call(value: Any) -> Row | None:
    """Returns a tool call of any integration as OpenAI's, or None for other values."""
    if not isinstance(value, dict):
        return None
    function = value.get("function")
    fields = function if isinstance(function, dict) else value
    name = next((fields[key] for key in ("name", "toolName", "tool_name") if isinstance(fields.get(key), str)), None)
    arguments = next((fields[key] for key in ("arguments", "args", "input", "parameters", "kwargs") if key in fields), None)
    is_call = (
        isinstance(function, dict) or value.get("type") in _CALL_TYPES or any(key in fields for key in ("arguments", "args"))
    )
    if name is None or not is_call or not isinstance(arguments, str | dict | None):
        return None
    id = next((value[key] for key in ("id", "toolCallId", "tool_call_id", "call_id") if value.get(key)), None)
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def decoded_output(output: Any) -> Any:
    """Returns an output; the JSON text of messages or calls is decoded, other text is the answer."""
    if not isinstance(output, str) or output.lstrip()[:1] not in ("{", "["):
        return None if output == "null" else output
    try:
        value = parsed(output, "output", "trace_json_truncated")
    except Unconvertible:
        if any(f'"{key}"' in output for key in ("tool_calls", "toolCalls", "role")):
            raise
        return output
    return value if _is_answer(value) else output


def _is_answer(value: Any) -> bool:
    """Whether a value is a message, some messages, calls, or a response, and not the JSON that a model has answered."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, dict) and (_is_answer(one) or one.get("type") == "text") for one in value)
    if not isinstance(value, dict):
        return False
    nested_keys = ("message", "choices", "candidates", "generations", "replies", "output")
    inner = [value[key] for key in nested_keys if isinstance(value.get(key), dict | list)]
    is_response = bool(inner) and (not value.keys().isdisjoint(_ANSWER_KEYS) or any(map(_is_answer, inner)))
    is_response = is_response or not value.keys().isdisjoint(_REASONS)
    return is_response or _call(value) is not None or not value.keys().isdisjoint(("role", *_CALL_KEYS)) or _is_langchain(value)


def _is_langchain(value: Row) -> bool:
    return value.get("lc") == 1 or (value.get("type") in ("ai", "human", "AIMessage", "AIMessageChunk") and "content" in value)


def _question(value: Any) -> tuple[list[Any], Any]:
    """Returns the messages and the tools of an input."""
    value = decoded(value, "input")
    if isinstance(value, str):
        return transcript_of(value) or [{"role": "user", "content": value}], None
    if isinstance(value, list):
        while len(value) == 1 and isinstance(value[0], list):
            value = value[0]
        declarations = [one for one in value if _is_declaration(one)]
        messages = [one for one in value if one not in declarations] if declarations else value
        return messages, [one["content"] for one in declarations] or None
    if isinstance(value, dict):
        return _question_in(value)
    raise Unconvertible("messages_empty", f"the input holds no messages: it is {kind_of(value)}", "input", value)


def _is_declaration(message: Any) -> bool:
    """Whether a message is the declaration of a tool, which LangChain's handler writes among the messages."""
    content = message.get("content") if isinstance(message, dict) and message.get("role") == "tool" else None
    return isinstance(content, dict) and isinstance(content.get("function"), dict)


def _question_in(value: Row) -> tuple[list[Any], Any]:
    config: Row = next((value[key] for key in ("config", "kwargs", "invocation_params") if isinstance(value.get(key), dict)), {})
    tools = next((one[key] for one in (value, config) for key in _TOOL_KEYS if one.get(key)), None)
    if "role" in value or _is_langchain(value):
        return [value], tools
    messages: Any = next((value[key] for key in _QUESTION_KEYS if has_value(value.get(key))), None)
    if messages is None:
        inner = next((one for one in (config, *(value.get("args") or ())) if isinstance(one, dict) and one), None)
        texts = [one for one in value.get("args") or () if isinstance(one, str)]
        if inner is not None and inner is not value:
            return _question_in(inner)
        if len(texts) != 1:
            names = ", ".join(map(repr, list(value)[:10]))
            raise Unconvertible("messages_empty", f"the input holds no messages, but {names}", "input", value)
        messages = texts[0]
    messages, declarations = _question(messages if not isinstance(messages, dict) else [messages])
    system = next((one[key] for one in (value, config) for key in _SYSTEM_KEYS if has_value(one.get(key))), None)
    if system is not None:
        text = system.get("parts", system) if isinstance(system, dict) else system
        messages = [{"role": "system", "content": text}, *messages]
    return messages, tools or declarations


def _output_messages(output: Any) -> list[tuple[Row, Any]]:
    """Returns the messages of an output, each with its finish reason."""
    if isinstance(output, str):
        return [({"content": output}, None)]
    if isinstance(output, list) and output:
        return _outputs_in(output)
    if not isinstance(output, dict):
        raise Unconvertible("answer_missing", "the output holds no answer", "output", output)
    if output.keys() == _PLAIN_KEYS and isinstance(output["content"], str):
        return [(output, None)]
    reason = next((output[key] for key in _REASONS if isinstance(output.get(key), str)), None)
    for key in ("choices", "candidates", "generations", "replies"):
        if isinstance(many := output.get(key), list) and many:
            return [message for one in many for message in _output_messages(one)]
    for key in ("message", "output", "content"):
        inner = output.get(key)
        if isinstance(inner, dict):
            return [(message, finish_reason or reason) for message, finish_reason in _output_messages(inner)]
        if key == "output" and isinstance(inner, list) and inner:
            return _outputs_in(inner)
    if _is_langchain(output):
        return [(_plain_message(output), reason)]
    if call := _call(output):
        return [({"content": None, "tool_calls": [call]}, reason)]
    if not output.keys().isdisjoint(("content", "blocks", "parts", "kwargs", "data", *_CALL_KEYS)):
        fields = {key: value for key, value in output.items() if key not in (*_REASONS, *_RESPONSE_KEYS)}
        text = next((output[key] for key in ("text", "output_text") if isinstance(output.get(key), str)), None)
        if text is not None and "content" not in fields:
            fields["content"] = text
        fields.pop("text", None)
        fields.pop("type", None)
        return [(fields, reason)]
    texts = [
        output[key]
        for key in ("completion", "text", "output", "answer", "response", "result")
        if isinstance(output.get(key), str)
    ]
    if len(texts) == 1:
        return [({"content": texts[0]}, reason)]
    raise Unconvertible("answer_missing", "the output holds no answer", "output", output)


def _outputs_in(output: list[Any]) -> list[tuple[Row, Any]]:
    """Returns the answer in a list: calls, blocks, texts, or messages that end with it."""
    calls = [_call(one) for one in output]
    if all(calls):
        return [({"content": None, "tool_calls": calls}, None)]
    if all(isinstance(one, str) for one in output):
        return [({"content": one}, None) for one in output]
    while len(output) == 1 and isinstance(output[0], list):
        output = output[0]
    are_blocks = all(isinstance(one, dict) and isinstance(one.get("type"), str) and "role" not in one for one in output)
    if are_blocks and not _is_langchain(output[-1]):
        return [({"content": output}, None)]
    return _output_messages(output[-1])
