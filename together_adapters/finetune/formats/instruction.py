"""Instructions: `prompt` and `completion` as texts or chats, and Alpaca's columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from together_adapters.finetune.accounting import has_value, leaving
from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.chat_template import has_template_marks
from together_adapters.finetune.formats.conversation import ConversationBuilder, parsed
from together_adapters.finetune.formats.layouts.text_calls import CODE as CALLS_IN_TEXT
from together_adapters.finetune.formats.layouts.text_calls import has_tagged_calls
from together_adapters.finetune.formats.openai import CHAT_COLUMNS, declared_tools, read_messages, with_columns
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.fields import require_record, text_of
from together_adapters.finetune.records import Converted, Row, Unconvertible

COLUMNS: Final = CHAT_COLUMNS | {"prompt", "completion"}
_CONVERSATION_COLUMNS: Final = CHAT_COLUMNS | {"history"}
ALPACA_COLUMNS: Final = _CONVERSATION_COLUMNS | {"instruction", "input", "output"}
QUESTION_ANSWERS_COLUMNS: Final = _CONVERSATION_COLUMNS | {"question", "context", "answers", "answer_start"}
_MESSAGE_KEYS: Final = frozenset("role content parts tool_calls function_call messages text lc kwargs data".split())
_ANSWER_KEYS: Final = frozenset({"text", "answer_start"})


def needs_conversation(record: Any) -> bool:
    """Whether a record has what an instruction cannot hold: a system prompt, images, tools and their calls, a history."""
    if not isinstance(record, dict):
        return False
    if has_tagged_calls(record.get("completion")) or has_tagged_calls(record.get("output")):
        return True
    return not _CONVERSATION_COLUMNS.isdisjoint(record) and any(has_value(record.get(column)) for column in _CONVERSATION_COLUMNS)


def _instruction(prompt: str, completion: str, record: Row) -> Converted:
    """Returns an instruction; what needs a conversation is left out."""
    if has_tagged_calls(completion):
        text = "the answer calls tools, in a text: form='conversation' reads the calls"
        raise Unconvertible(CALLS_IN_TEXT, text, "completion", completion)
    changes = ("template_in_content",) if has_template_marks(prompt) or has_template_marks(completion) else ()
    converted = Converted({"prompt": prompt, "completion": completion}, None, changes)
    return leaving(converted, record, _CONVERSATION_COLUMNS) if len(record) > 2 else converted


def prompt_completion(record: Any, options: Options) -> Iterable[Converted]:
    """Converts a record with `prompt` and `completion`; chats become a conversation in which only the completion is trained on."""
    record = require_record(record)
    prompt, completion = record.get("prompt"), record.get("completion")
    if type(prompt) is str and type(completion) is str and options.form != "conversation":
        return (_instruction(prompt, completion, record),)
    return (_conversation(record, options),)


def _conversation(record: Row, options: Options) -> Converted:
    prompt, completion = record.get("prompt"), record.get("completion")
    chats = isinstance(prompt, list) or isinstance(completion, list | dict)
    question, answer = (_chat(record, column, role) for column, role in (("prompt", "user"), ("completion", "assistant")))
    if any(not isinstance(message, dict) or message.get("role") == "user" for message in answer):
        raise Unconvertible("completion_not_answer", "a completion that is a chat holds answers and results alone", "completion")
    builder = ConversationBuilder(options)
    builder.tools = declared_tools(record)
    read_messages(builder, with_columns(question, record))
    length = len(builder.messages)
    read_messages(builder, answer)
    if chats and options.prompt_weights:
        for index, message in enumerate(builder.messages):
            message["weight"] = int(index >= length and message["role"] == "assistant")
        builder.change("prompt_weighted")
    return builder.converted(declared_tools(record))


def _chat(record: Row, column: str, role: str) -> list[Any]:
    value = record.get(column)
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if isinstance(value, dict):
        if _MESSAGE_KEYS.isdisjoint(value):
            keys = ", ".join(map(str, value))[:200]
            text = f"the column {column} must hold a text or messages, not an object with the keys {keys}"
            raise Unconvertible("cell_not_text", text, column, value)
        messages = value.get("messages")
        return messages if isinstance(messages, list) and len(value) == 1 else [value]
    if isinstance(value, list) and value:
        if isinstance(value[0], str):
            raise Unconvertible("cell_not_text", f"the column {column} must hold a text, not a list of texts", column, value)
        return value
    text_of(record, column)
    raise AssertionError(column)


def alpaca(record: Any, options: Options) -> Iterator[Converted]:
    """Converts a record with `instruction`, `input` and `output`, to a conversation if that is asked for."""
    record = require_record(record)
    prompt = options.template(record) if options.template is not None else _prompt(record, options)
    output = text_of(record, "output")
    if options.form != "conversation":
        yield _instruction(prompt, output, record)
        return
    builder = ConversationBuilder(options)
    messages = [*_history(record), {"role": "user", "content": prompt}, {"role": "assistant", "content": output}]
    builder.tools = declared_tools(record)
    read_messages(builder, with_columns(messages, record))
    yield builder.converted(declared_tools(record))


def question_answers(record: Any, options: Options) -> Iterator[Converted]:
    """Converts a record with `question`, `context` and a list of `answers`, as SQuAD's: a row for each different answer."""
    record = require_record(record)
    answers = record.get("answers")
    is_text = isinstance(answers, str) and answers.lstrip()[:1] not in ("[", "{")
    texts = [answers] if is_text else answer_texts(parsed(answers, "answers"))
    if texts is None:
        raise Unconvertible("cell_not_text", "answers must be a list of texts", "answers", record.get("answers"))
    if not texts:
        raise Unconvertible("answer_missing", "the question has no answer", "answers")
    columns = {column: value for column, value in record.items() if column in _CONVERSATION_COLUMNS}
    question = {**columns, "instruction": record.get("question"), "input": record.get("context")}
    for text in texts:
        for converted in alpaca({**question, "output": text}, options):
            changes = ("one_of_several_answers",) if len(texts) > 1 else ()
            yield converted._replace(changed=(*converted.changed, *changes))


def answer_texts(answers: Any) -> list[str] | None:
    """Returns the different texts of answers without scores, or None for other values."""
    if isinstance(answers, dict):
        answers = answers.get("text")
    if not isinstance(answers, list | tuple):
        return None
    items = [one.get("text") if isinstance(one, dict) and one.keys() <= _ANSWER_KEYS else one for one in answers]
    texts = [item for item in items if isinstance(item, str)]
    return list(dict.fromkeys(texts)) if len(texts) == len(items) else None


def articles(document: Any) -> Iterator[Any]:
    """Yields the questions of SQuAD's file, each with its context, or the document itself if it is a question."""
    if not isinstance(document, dict) or not isinstance(document.get("data"), list):
        yield document
        return
    for article in document["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                yield {"context": paragraph["context"], **question}


def _prompt(record: Row, options: Options) -> str:
    """Returns the instruction with its input."""
    instruction = text_of(record, "instruction")
    has_input = record.get("input") not in (None, "")
    return f"{instruction}{options.join}{text_of(record, 'input')}" if has_input else instruction


def _history(record: Row) -> Iterator[Row]:
    """Yields the messages of a history: questions with their answers, or messages."""
    history = parsed(record.get("history") or [], "history")
    for index, turn in enumerate(history if isinstance(history, list) else [history]):
        if isinstance(turn, dict) and isinstance(turn.get("role"), str):
            yield turn
        elif isinstance(turn, list | tuple) and len(turn) == 2 and all(isinstance(text, str) for text in turn):
            yield {"role": "user", "content": turn[0]}
            yield {"role": "assistant", "content": turn[1]}
        else:
            text = f"a turn is a question and its answer, not {kind_of(turn)}"
            raise Unconvertible("history_invalid", text, f"history[{index}]", turn)
