"""LangSmith: runs of models as they are exported, and the examples of its datasets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.formats.conversation import Talk, parsed
from together_adapters.finetune.formats.langchain_json import is_message, read_lc
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.trace_selection import finished, selected
from together_adapters.finetune.readers.fields import field, nested, text_or_none
from together_adapters.finetune.records import Converted, Row, Unconvertible

_THREADS: Final = ("thread_id", "conversation_id", "session_id")
_MODELS: Final = ("llm", "chat_model")
Result = Converted | Unconvertible


def runs(run: Any, options: Options) -> Iterator[Result]:
    """Convert a run: a row for each answer that it gave."""
    kind = field(run, "run_type")
    if kind not in _MODELS:
        raise Unconvertible("run_not_of_model", f"the run is a {kind}", skipped=True)
    if error := field(run, "error"):
        raise Unconvertible("run_failed", f"the run failed: {str(error)[:100]}", skipped=True)
    outputs = parsed(field(run, "outputs"), "outputs")
    if not outputs or field(run, "status") == "pending":
        raise Unconvertible("run_pending", "the run has no answer yet", skipped=True)
    selected(run, options)
    inputs = parsed(field(run, "inputs"), "inputs") or {}
    told = nested(run, "extra", "invocation_params") or {}
    tools = told.get("tools") or told.get("functions") or inputs.get("tools") or inputs.get("functions")
    metadata = nested(run, "extra", "metadata") or {}
    group = next((metadata[name] for name in _THREADS if metadata.get(name)), None) or field(run, "trace_id", "id")
    asked, answered = _batches(inputs), _answers(outputs)
    if len(asked) != len(answered):
        raise Unconvertible("batch_uneven", f"{len(asked)} questions have {len(answered)} lists of answers", "outputs")
    for question, answers in zip(asked, answered, strict=True):
        for answer in answers:
            yield _row(question, answer, tools, text_or_none(group), options, len(answers) > 1)


def _row(question: list[Any], answer: Row, tools: Any, group: str | None, options: Options, several: bool) -> Result:
    try:
        finished(_finish(answer))
        talk = Talk(options)
        for message in question:
            read_lc(talk, message)
        read_lc(talk, answer.get("message") or {"role": "assistant", "content": answer.get("text")})
        if several:
            talk.change("one_of_several_answers")
        return talk.converted(tools, group)
    except Unconvertible as refused:
        return refused


def _finish(answer: Row) -> Any:
    told = answer.get("finish_reason") or nested(answer, "generation_info", "finish_reason")
    message = answer.get("message") or {}
    fields = message.get("kwargs") or message
    return told or nested(fields, "response_metadata", "finish_reason") or nested(fields, "response_metadata", "stop_reason")


def _batches(inputs: Row) -> list[list[Any]]:
    """The questions of a run: one, or those of a batch."""
    messages = inputs.get("messages")
    if isinstance(messages, list) and messages:
        return messages if isinstance(messages[0], list) else [messages]
    prompts = inputs.get("prompts") or ([inputs["prompt"]] if isinstance(inputs.get("prompt"), str) else [])
    if not prompts:
        raise Unconvertible("messages_empty", "the run has neither messages nor prompts", "inputs", list(inputs))
    return [[{"role": "user", "content": prompt}] for prompt in prompts]


def _answers(outputs: Row) -> list[list[Row]]:
    """The answers to each question."""
    generations = outputs.get("generations")
    if isinstance(generations, list) and generations:
        return generations if isinstance(generations[0], list) else [generations]
    choices = outputs.get("choices")
    if isinstance(choices, list) and choices:
        return [choices]
    if is_message(outputs.get("message")):
        return [[{"message": outputs["message"]}]]
    if is_message(outputs):
        return [[{"message": outputs}]]
    messages = outputs.get("messages")
    if isinstance(messages, list) and messages:
        return [[{"message": messages[-1]}]]
    raise Unconvertible("answer_missing", "the outputs hold no answer", "outputs", list(outputs))


def dataset_examples(example: Any, options: Options) -> Iterator[Result]:
    """Convert an example of a dataset: messages to a conversation, one text each to an instruction."""
    inputs, outputs = (parsed(field(example, name), name) for name in ("inputs", "outputs"))
    if field(example, "attachments"):
        raise Unconvertible("attachments_unsupported", "an example with attachments cannot become a row", "attachments")
    if not outputs:
        raise Unconvertible("answer_missing", "the example has no reference output", "outputs")
    selected(example, options)
    asked = _only(inputs or {}, options.input_key, "input_key", ("messages", "tools", "functions"))
    said = _only(outputs, options.output_key, "output_key", ("message", "messages", "generations", "output", "choices"))
    if isinstance(asked, str) and isinstance(said, str) and options.form != "conversation":
        yield Converted({"prompt": asked, "completion": said})
        return
    talk = Talk(options)
    for message in _messages(asked, "user"):
        read_lc(talk, message)
    for message in _messages(said, "assistant"):
        read_lc(talk, message)
    if talk.messages[-1]["role"] != "assistant":
        raise Unconvertible("answer_missing", "the example ends without an answer", "outputs")
    yield talk.converted((inputs or {}).get("tools") or (inputs or {}).get("functions"))


def _only(fields: Row, key: str | None, option: str, known: tuple[str, ...]) -> Any:
    """What the one field holds that matters; which that is, is never guessed."""
    if key is not None:
        if key not in fields:
            raise Unconvertible("column_missing", f"there is no {key!r}", option, list(fields))
        return fields[key]
    for name in known:
        if name in fields and name not in ("tools", "functions") and fields.keys() <= set(known):
            return fields[name]
    if len(fields) == 1:
        return next(iter(fields.values()))
    raise Unconvertible("columns_undeclared", f"{option}= must say which of {', '.join(map(repr, fields))} is meant", option)


def _messages(value: Any, role: str) -> list[Any]:
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    if not isinstance(value, list) or not value:
        raise Unconvertible("content_wrong_type", "it is neither a text nor messages", role, value)
    return [one["message"] if isinstance(one, dict) and isinstance(one.get("message"), dict) else one for one in value]
