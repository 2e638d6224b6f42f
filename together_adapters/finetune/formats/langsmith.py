"""LangSmith: the runs of models and the examples of datasets, as JSON; `from_langchain` converts objects to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, TypeAlias

from together_adapters.finetune.accounting import TRACE, has_value, unread
from together_adapters.finetune.formats.conversation import FrameworkConversationBuilder, parsed
from together_adapters.finetune.formats.langchain_json import is_message, is_pair, read_langchain_message
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.traces import Result, finished, selected
from together_adapters.finetune.readers.fields import field, is_empty_json, nested, text_or_none
from together_adapters.finetune.recording import thread_of
from together_adapters.finetune.records import Converted, Row, Unconvertible

Question: TypeAlias = "str | list[Any]"

COLUMNS: Final = frozenset(
    "run_type inputs outputs error status extra id trace_id serialized events tags child_runs attachments".split()
)
EXAMPLE_COLUMNS: Final = frozenset({"inputs", "outputs", "metadata", "attachments"})
_QUESTION_KEYS: Final = frozenset({"messages", "prompts", "prompt", "tools", "functions"})
_ANSWER_KEYS: Final = frozenset(
    {"message", "messages", "generations", "choices", "output", "tools", "functions", "type", "lc", "id"}
)
_GENERATION_KEYS: Final = frozenset(
    {"message", "messages", "text", "type", "finish_reason", "generation_info", "index", "lc", "id"}
)
_EXTRA_KEYS: Final = frozenset({"invocation_params", "tools", "functions"})
_MODEL_RUNS: Final = (None, "llm", "chat_model")
_TOOLS: Final = ("tools", "functions")
_ANSWERS: Final = ("message", "messages", "generations", "choices", "output")
_ROLE_LABEL: Final = re.compile(r"[A-Za-z][\w -]*: ")
"""How the text begins that LangChain's tracers make of messages: `Human: ...`."""
SYSTEM_ABSENT: Final = "system_prompt_absent"
"""The code of rows from states of agents, which do not hold the system prompt that the model was called with."""


def runs(run: Any, options: Options) -> Iterator[Result]:
    """Converts a run: a row for each answer of a model, or the one conversation that a chain or graph returned."""
    get = run.get if type(run) is dict else partial(getattr, run)
    kind = get("run_type", None)
    outputs = parsed(get("outputs", None), "outputs")
    conversation = nested(outputs, "messages") if kind not in _MODEL_RUNS else None
    if kind not in _MODEL_RUNS and not (isinstance(conversation, list) and conversation):
        raise Unconvertible("run_not_of_model", f"the run is a {kind}", skipped=True)
    if (error := get("error", None)) and not is_empty_json(error):
        raise Unconvertible("run_failed", f"the run failed: {str(error)[:100]}", "error", skipped=True)
    if not outputs or get("status", None) == "pending":
        raise Unconvertible("run_pending", "the run has no answer yet", "outputs", skipped=True)
    selected(run, options)
    inputs = parsed(get("inputs", None), "inputs") or {}
    extra = parsed(get("extra", None), "extra")
    extra = extra if isinstance(extra, dict) else {}
    tools = _tools(extra.get("invocation_params"), inputs)
    metadata = extra.get("metadata")
    group = (metadata and thread_of(metadata)) or text_or_none(get("trace_id", None) or get("id", None))
    if conversation:
        yield _row_of_agent(conversation, tools, group, field(run, "child_runs") or (), options)
        return
    left_out = unread(inputs, _QUESTION_KEYS, f"{TRACE}inputs")
    for settings in (extra, extra.get("invocation_params")):
        left_out |= unread(settings, _EXTRA_KEYS, f"{TRACE}extra")
    if not is_message(outputs):
        left_out |= unread(outputs, _ANSWER_KEYS, f"{TRACE}outputs")
    questions, answers = _questions(inputs), _answers(outputs)
    if any(map(_is_joined, questions)) and _is_of_chat_model(run, metadata, answers):
        raise Unconvertible("messages_joined", _FLAT_PROMPT, "inputs.prompts", questions[0])
    if len(questions) != len(answers):
        raise Unconvertible("batch_uneven", f"{len(questions)} questions have {len(answers)} lists of answers", "outputs")
    for question, candidates in zip(questions, answers, strict=True):
        for candidate in candidates:
            row = _row(question, candidate, tools, group, options, len(candidates) > 1)
            yield _leaving(row, left_out | _unread_of_generation(candidate))


_FLAT_PROMPT: Final = (
    "the tracer has joined the messages of a chat model into one text, from which calls and results of tools cannot be read"
)


def _is_joined(question: Question) -> bool:
    return isinstance(question, str) and _ROLE_LABEL.match(question) is not None


def _is_of_chat_model(run: Any, metadata: Any, answers: list[list[Row]]) -> bool:
    """Whether a run is of a model that takes messages, by its answers, by what LangChain notes, or by its name."""
    if any(answer.get("message") is not None for candidates in answers for answer in candidates):
        return True
    if kind := nested(metadata, "ls_model_type"):
        return bool(kind == "chat")
    path = nested(field(run, "serialized"), "id")
    names = [*(path if isinstance(path, list) else ()), field(run, "name")]
    return any("chat" in str(name).lower() for name in names)


def _row_of_agent(messages: list[Any], tools: Any, group: str | None, children: Any, options: Options) -> Result:
    """Returns the conversation of an agent's run, with the system prompt and the tools on which all its model runs agree."""
    calls = list(_model_runs(children))
    systems = [_system_of(call, options) for call in calls]
    schemas = [
        schema for call in calls if (schema := _tools(nested(field(call, "extra"), "invocation_params"), field(call, "inputs")))
    ]
    if not tools and schemas and all(schema == schemas[0] for schema in schemas):
        tools = schemas[0]
    row = _row(messages, {"messages": []}, tools, group, options)
    if not isinstance(row, Converted) or row.row["messages"][0]["role"] == "system":
        return row
    if systems and systems[0] and all(one == systems[0] for one in systems):
        return row._replace(row={**row.row, "messages": [systems[0], *row.row["messages"]]})
    has_no_prompt = bool(systems) and all(one == {} for one in systems)
    return row if has_no_prompt else row._replace(changed=(*row.changed, SYSTEM_ABSENT))


def _model_runs(children: Any) -> Iterator[Any]:
    """Yields the runs of models below an agent's run, without those of its tools, which may be other agents."""
    for child in children if isinstance(children, list | tuple) else ():
        kind = field(child, "run_type")
        if kind in ("llm", "chat_model"):
            yield child
        elif kind != "tool":
            yield from _model_runs(field(child, "child_runs"))


def _system_of(call: Any, options: Options) -> Row | None:
    """Returns the system message of a model's run, an empty one if it was called without; None if the run does not tell."""
    try:
        [question] = _questions(parsed(field(call, "inputs"), "inputs") or {})
        if isinstance(question, str):
            return None
        builder = FrameworkConversationBuilder(options)
        read_langchain_message(builder, question[0])
    except (Unconvertible, ValueError):
        return None
    return builder.messages[0] if builder.messages and builder.messages[0]["role"] == "system" else {}


def dataset_examples(example: Any, options: Options) -> Iterator[Result]:
    """Converts an example of a dataset: messages to a conversation, one text each to an instruction."""
    inputs, outputs = (parsed(field(example, name), name) for name in ("inputs", "outputs"))
    if field(example, "attachments"):
        raise Unconvertible("attachments_unsupported", "an example with attachments cannot become a row", "attachments")
    if not outputs:
        raise Unconvertible("example_without_output", "the example has no output", "outputs")
    selected(example, options)
    inputs, metadata = inputs or {}, field(example, "metadata")
    value = _field_of(inputs, options.input_key, "input_key", ("messages",))
    question = value if isinstance(value, str) else _messages(value, "input")
    known_names = _ANSWERS if isinstance(question, list) or outputs.keys() <= {*_ANSWERS, *_TOOLS} else ()
    candidates = _references(outputs, options.output_key, known_names)
    tools, group = _tools(inputs, outputs, metadata), thread_of(metadata)
    left_out = {
        f"inputs.{name}": one for name, one in inputs.items() if one is not value and name not in _TOOLS and has_value(one)
    }
    left_out |= unread({"metadata": metadata}, frozenset())
    if options.output_key is not None:
        left_out |= unread(outputs, frozenset({options.output_key, *_TOOLS}), "outputs")
    elif not is_message(outputs):
        is_result = not {"generations", "choices"}.isdisjoint(outputs)
        left_out |= (
            unread(outputs, _ANSWER_KEYS | {*outputs} - {*_ANSWERS}, "outputs")
            if not known_names
            else unread(outputs, _ANSWER_KEYS, f"{TRACE}outputs" if is_result else "outputs")
        )
    for candidate in candidates:
        row = _row(question, candidate, tools, group, options, len(candidates) > 1, needs_answer=True)
        yield _leaving(row, left_out | _unread_of_generation(candidate))


def _leaving(row: Result, left_out: Row) -> Result:
    """Returns a row that leaves out fields around its question and answer."""
    return row._replace(left_out={**left_out, **row.left_out}) if left_out and isinstance(row, Converted) else row


def _unread_of_generation(answer: Row) -> Row:
    """Returns the fields of a generation that are not read; the text beside a message repeats it, or is left out."""
    left_out = unread(answer, _GENERATION_KEYS, f"{TRACE}outputs.generations[]")
    message, text = answer.get("message"), answer.get("text")
    if isinstance(message, dict) and isinstance(text, str) and text.strip() and text not in _texts(message):
        left_out[f"{TRACE}outputs.generations[].text"] = text
    return left_out


def _texts(message: Row) -> list[Any]:
    fields = message.get("kwargs") or message.get("data") or message
    content = fields.get("content")
    parts = [part.get("text") if isinstance(part, dict) else part for part in content] if isinstance(content, list) else []
    return [content, *parts, "".join(part for part in parts if isinstance(part, str))]


def _row(
    question: Question,
    answer: Row,
    tools: Any,
    group: str | None,
    options: Options,
    several: bool = False,
    needs_answer: bool = False,
) -> Result:
    """Returns a question with one of its answers as a row: an instruction where both are texts, else a conversation."""
    try:
        finished(_finish_reason(answer))
        message, text = answer.get("message"), answer.get("text")
        changes = ("one_of_several_answers",) if several else ()
        if isinstance(question, str):
            is_text = message is None and isinstance(text, str) and "messages" not in answer
            if is_text and not tools and options.form != "conversation":
                return Converted({"prompt": question, "completion": text}, group, changes)
            question = [{"role": "user", "content": question}]
        messages = answer.get("messages")
        if messages is None:
            messages = [{"role": "assistant", "content": text} if message is None else message]
        if question and messages[: len(question)] == question:
            messages = messages[len(question) :]
        builder = FrameworkConversationBuilder(options)
        for message in question:
            read_langchain_message(builder, message)
        length = len(builder.messages)
        for message in messages:
            read_langchain_message(builder, message)
        if needs_answer and not any(message["role"] == "assistant" for message in builder.messages[length:]):
            raise Unconvertible("answer_missing", "the example ends without an answer", "outputs")
        if several:
            builder.change("one_of_several_answers")
        return builder.converted(tools, group)
    except Unconvertible as refusal:
        return refusal


def _tools(*sources: Any) -> Any:
    """Returns the first declaration of tools in some objects."""
    for source in sources:
        if isinstance(source, dict) and (tools := source.get("tools") or source.get("functions")):
            return tools
    return None


def _finish_reason(answer: Row) -> Any:
    reason = answer.get("finish_reason") or nested(answer, "generation_info", "finish_reason")
    message = answer.get("message")
    if reason or not isinstance(message, dict):
        return reason
    fields = message.get("kwargs") or message.get("data") or message
    metadata = fields.get("response_metadata")
    return (metadata.get("finish_reason") or metadata.get("stop_reason")) if isinstance(metadata, dict) else None


def _questions(inputs: Row) -> list[Question]:
    """Returns the question of a run, or those of a batch; prompts are texts."""
    messages = inputs.get("messages")
    if isinstance(messages, list | tuple) and messages:
        is_batch = isinstance(messages[0], list) and not is_pair(messages[0])
        return [*messages] if is_batch else [[*messages]]
    prompts = inputs.get("prompts") or ([inputs["prompt"]] if isinstance(inputs.get("prompt"), str) else [])
    if not prompts:
        raise Unconvertible("messages_empty", "the run has neither messages nor prompts", "inputs", list(inputs))
    return list(prompts)


def _answers(outputs: Row) -> list[list[Row]]:
    """Returns the answers to each question of a run."""
    generations = outputs.get("generations")
    if isinstance(generations, list) and generations:
        batches = generations if isinstance(generations[0], list) else [generations]
        return [[_generation(one) for one in batch] for batch in batches]
    choices = outputs.get("choices")
    if isinstance(choices, list) and choices:
        return [[_generation(one) for one in choices]]
    for value in (outputs.get("message"), outputs.get("output"), outputs):
        if is_message(value):
            return [[{"message": value}]]
        if isinstance(value, str):
            return [[{"text": value}]]
    messages = outputs.get("messages") or outputs.get("output")
    if isinstance(messages, list) and messages:
        return [[{"message": messages[-1]}]]
    raise Unconvertible("answer_missing", "the outputs hold no answer", "outputs", list(outputs))


def _generation(value: Any) -> Row:
    """Returns a generation with `message` or `text`, which a serialised one has in `kwargs`."""
    if isinstance(value, dict) and value.get("lc") == 1:
        value = value.get("kwargs")
    if not isinstance(value, dict) or (value.get("message") is None and value.get("text") is None):
        raise Unconvertible("answer_missing", "a generation holds neither a message nor a text", "outputs", value)
    return value


def _field_of(fields: Row, key: str | None, option: str, known_names: tuple[str, ...]) -> Any:
    """Returns the field that is meant: the one that the option names, a known one, or the only one."""
    if key is not None:
        if key not in fields:
            raise Unconvertible("column_missing", f"there is no {key!r}", option, list(fields))
        return fields[key]
    names = [name for name in known_names if fields.get(name)] or [name for name in fields if name not in _TOOLS]
    if len(names) == 1 or (names and names[0] in known_names):
        return fields[names[0]]
    raise Unconvertible("columns_undeclared", f"{option}= must say which of {', '.join(map(repr, fields))} is meant", option)


def _references(outputs: Row, key: str | None, known_names: tuple[str, ...]) -> list[Row]:
    """Returns the reference answers of an example, as generations or lists of messages."""
    if key is None and is_message(outputs):
        return [{"messages": [outputs]}]
    value = _field_of(outputs, key, "output_key", known_names)
    if isinstance(value, str):
        return [{"text": value}]
    if key is None and any(value is outputs.get(name) for name in ("generations", "choices")) and isinstance(value, list):
        return [_generation(one) for one in (value[0] if isinstance(value[0], list) else value)]
    return [{"messages": _messages(value, "output")}]


def _messages(value: Any, path: str) -> list[Any]:
    if isinstance(value, dict):
        inner = value.get("messages")
        value = inner if isinstance(inner, list) else [value]
    if isinstance(value, list | tuple) and value and isinstance(value[0], list) and not is_pair(value[0]):
        value = value[0]
    if not isinstance(value, list | tuple) or not value:
        raise Unconvertible("content_wrong_type", "it is neither a text nor messages", path, value)
    return [one["message"] if isinstance(one, dict) and isinstance(one.get("message"), dict) else one for one in value]
