"""Which calls of traces become rows: those that finished, and that the user selects; one row for each answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from together_adapters.finetune.formats.conversation import ConversationBuilder
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.records import Converted, Unconvertible

Result: TypeAlias = Converted | Unconvertible
UNFINISHED_REASONS: Final = frozenset({"length", "max_tokens", "model_length", "content_filter", "safety", "error"})


def selected(record: Any, options: Options) -> None:
    """Drops a record for which the user's `select` returns False."""
    if options.select is not None and not options.select(record):
        raise Unconvertible("not_selected", "select said no", skipped=True)


def finished(reason: Any) -> None:
    """Drops an answer that was cut off, filtered, or failed, by its finish reason."""
    if isinstance(reason, str) and reason.lower() in UNFINISHED_REASONS:
        raise Unconvertible("answer_unfinished", f"the answer ended for {reason}", skipped=True)


def answer_rows(
    question: Callable[[], Iterable[Any]],
    answers: Sequence[tuple[Any, Any]],
    read: Callable[[ConversationBuilder, Any], None],
    options: Options,
    tools: Callable[[], Any],
    group: str | None,
) -> Iterator[Result]:
    """Yields the row, or the reason for its refusal, of each answer (a message with its finish reason) to a question."""
    for answer, reason in answers:
        try:
            finished(reason)
            builder = ConversationBuilder(options)
            for message in question():
                read(builder, message)
            read(builder, answer)
            if len(answers) > 1:
                builder.change("one_of_several_answers")
            yield builder.converted(tools(), group)
        except Unconvertible as refusal:
            yield refusal
