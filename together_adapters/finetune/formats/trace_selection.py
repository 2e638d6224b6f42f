"""Calls of traces: which are trained on - those that ended well, and that the user selects - and the rows of their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from together_adapters.finetune.formats.conversation import ConversationBuilder
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.records import Converted, Unconvertible

Result: TypeAlias = Converted | Unconvertible
UNFINISHED: Final = frozenset({"length", "max_tokens", "model_length", "content_filter", "safety", "error"})


def selected(record: Any, options: Options) -> None:
    """Call the user's `select`.

    Raises:
        Unconvertible: It returned False, which is a drop and no error.
    """
    if options.select is not None and not options.select(record):
        raise Unconvertible("not_selected", "select said no", skipped=True)


def finished(reason: Any) -> None:
    """Check the reason for which an answer ended.

    Raises:
        Unconvertible: The answer was cut off, filtered, or failed, which is a drop and no error.
    """
    if isinstance(reason, str) and reason.lower() in UNFINISHED:
        raise Unconvertible("answer_unfinished", f"the answer ended for {reason}", skipped=True)


def answer_rows(
    question: Sequence[Any],
    answers: Sequence[tuple[Any, Any]],
    read: Callable[[ConversationBuilder, Any], None],
    options: Options,
    tools: Any,
    group: str | None,
) -> Iterator[Result]:
    """Give a row for each answer to a question, or the reason why it is none.

    Args:
        question: The messages that the model was given.
        answers: Its answers, each a message with its finish reason.
        read: Adds a message to a conversation.
        options: The options of the source.
        tools: The declared tools.
        group: The id of the conversation or trace.
    """
    for answer, reason in answers:
        try:
            finished(reason)
            builder = ConversationBuilder(options)
            for message in (*question, answer):
                read(builder, message)
            if len(answers) > 1:
                builder.change("one_of_several_answers")
            yield builder.converted(tools, group)
        except Unconvertible as refusal:
            yield refusal
