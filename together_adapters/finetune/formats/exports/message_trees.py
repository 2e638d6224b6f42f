"""Trees of messages, as OpenAssistant publishes them, and its tables of messages that name their parents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from together_adapters.finetune.accounting import unread
from together_adapters.finetune.formats.conversation import ConversationBuilder
from together_adapters.finetune.formats.layouts.provider_messages import role_of
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.fields import require, require_record, text_or_none
from together_adapters.finetune.records import Converted, Row, Unconvertible

COLUMNS: Final = frozenset({"prompt", "message_tree_id", "tree_state", "messages_of_tree"})
TABLE: Final = ("message_id", "parent_id", "role", "text")
"""The columns of a table of messages."""
_READ: Final = frozenset(
    """message_id parent_id role text replies rank message_tree_id tree_state user_id created_date lang review_count review_result
    deleted synthetic model_name detoxify emojis labels""".split()
)


def conversation(record: Any, options: Options) -> Iterator[Converted | Unconvertible]:
    """Converts a tree: the paths to its last answers, along the best of ranked answers, or all where there is no rank."""
    record = require_record(record)
    root = record.get("prompt")
    if not isinstance(root, dict):
        root = record
    paths: dict[tuple[int, ...], list[Row]] = {}
    others: Row = {} if root is record else unread(record, COLUMNS)
    for path in _paths(root, others):
        while path and _role(path[-1]) != "assistant":
            path.pop()
        if path:
            paths[tuple(map(id, path))] = path
    if not paths:
        raise Unconvertible("answer_missing", "the tree has no reply of an assistant", "prompt.replies")
    group = text_or_none(record.get("message_tree_id") or root.get("message_tree_id") or root.get("message_id"))
    for path in paths.values():
        builder = ConversationBuilder(options)
        for message in path:
            builder.account(message, _READ, "replies[]")
            text = require(message.get("text"), str, "content_wrong_type", "the text of a message must be text", builder.path)
            if _role(message) == "assistant":
                builder.answer(text)
            else:
                builder.add(_role(message), text)
        builder.left_out |= others
        if len(paths) > 1:
            builder.change("one_of_several_answers")
        yield builder.converted(group=group)


def _paths(root: Row, others: Row) -> Iterator[list[Row]]:
    """Yields the messages from the root to each end; a reply that is ranked below another is added to `others`."""
    waiting = [[root]]
    while waiting:
        path = waiting.pop()
        replies = [one for one in path[-1].get("replies") or () if isinstance(one, dict) and not one.get("deleted")]
        ranks = [one.get("rank") for one in replies]
        if len(replies) > 1 and _role(replies[0]) == "assistant" and all(isinstance(rank, int | float) for rank in ranks):
            best = min(replies, key=lambda one: float(one["rank"]))
            others["replies[].others"] = [one.get("text") for one in replies if one is not best]
            replies = [best]
        if not replies:
            yield path
        waiting += [[*path, reply] for reply in reversed(replies)]


def _role(message: Row) -> str:
    name = message.get("role")
    role = role_of(name)
    if role is None:
        raise Unconvertible("role_unknown", f"there is no role {name!r}", "role", name)
    return role


def is_table(record: Any) -> bool:
    """Whether a record is one message of a table."""
    return isinstance(record, dict) and all(name in record for name in TABLE) and "replies" not in record


def trees(messages: Iterable[tuple[int, Row]]) -> Iterator[tuple[int, Row | Unconvertible]]:
    """Yields the trees of a table of messages, each with the number of its root; all messages are read first."""
    by_id: dict[Any, tuple[int, Row]] = {}
    for number, message in messages:
        by_id[message["message_id"]] = number, {**message, "replies": []}
    for _, message in by_id.values():
        if message["parent_id"] in by_id:
            by_id[message["parent_id"]][1]["replies"].append(message)
    for number, message in by_id.values():
        parent = message["parent_id"]
        if parent in (None, ""):
            yield number, message
        elif parent not in by_id:
            yield (
                number,
                Unconvertible("record_unreadable", f"the message {parent!r}, its parent, is not there", "parent_id", parent),
            )
