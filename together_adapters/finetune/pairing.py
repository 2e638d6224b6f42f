"""Pairs answers that are labelled good or bad, as KTO's data has them, to preferences: a good and a bad one to the same question."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from together_adapters.finetune.accounting import extra_columns, is_judgement
from together_adapters.finetune.fingerprints import canonical, digest
from together_adapters.finetune.records import Example, Record, Refusal, Row

_GOOD: Final = frozenset(
    "true 1 1.0 +1 good yes y desirable positive up thumbs_up thumbsup like liked upvote accepted accept chosen correct preferred".split()
)
_BAD: Final = frozenset(
    """false 0 0.0 -1 -1.0 bad no n undesirable negative down thumbs_down thumbsdown dislike disliked downvote rejected reject incorrect
    wrong""".split()
)

_GAP: Final = re.compile(r"(?<=[a-z])[ -](?=[a-z])")


def verdict_of(value: Any) -> bool | None:
    """Returns whether a label says good or bad; None for other values."""
    text = _GAP.sub("_", str(value).strip().lower())
    return True if text in _GOOD else False if text in _BAD else None


def label_of(fields: Row, columns: Iterable[str]) -> tuple[str, bool] | None:
    """Returns the column with the label, and whether it says good; None if there is none, or several disagree."""
    labels = [(name, verdict) for name in columns if is_judgement(name) and (verdict := verdict_of(fields[name])) is not None]
    return labels[0] if len({verdict for _, verdict in labels}) == 1 else None


def pair_labelled(records: Iterable[Record]) -> Iterator[Record]:
    """Pairs each good answer with a bad one to the same question, in the order of the source; refuses the others."""
    waiting: tuple[dict[bytes, list[Example]], dict[bytes, list[Example]]] = ({}, {})
    for record in records:
        if isinstance(record, Refusal):
            yield record
            continue
        label, parts = label_of(record.row, extra_columns(tuple(record.row))), _parts(record.row)
        if label is None or parts is None:
            text = "the record has no label" if label is None else "the record does not end with an answer"
            yield record.refusal("pref_unscored", text, "label", record.row)
            continue
        is_good = label[1]
        key = digest(canonical({"messages": parts[0], "tools": record.row.get("tools")}))
        others = waiting[not is_good].get(key)
        if not others:
            waiting[is_good].setdefault(key, []).append(record)
            continue
        other = others.pop(0)
        if not others:
            del waiting[not is_good][key]
        yield _pair(record, *((record, other) if is_good else (other, record)))
        text = "its answer is in the row of another record"
        yield other.refusal("paired_with_another", text, skipped=True)
    for record in (record for side in waiting for items in side.values() for record in items):
        text = "no other answer to the question has the other label"
        yield record.refusal("pref_unscored", text, "label")


def _parts(row: Row) -> tuple[list[Row], Row] | None:
    """Returns the question and the answer of a row."""
    if "prompt" in row and "completion" in row:
        return [{"role": "user", "content": row["prompt"]}], {"role": "assistant", "content": row["completion"]}
    messages = [{key: value for key, value in message.items() if key != "weight"} for message in row.get("messages") or ()]
    return (messages[:-1], messages[-1]) if len(messages) > 1 and messages[-1].get("role") == "assistant" else None


def _pair(latest: Example, good: Example, bad: Example) -> Example:
    """Returns the preference of two rows, with the number of the latest."""
    better, worse = _parts(good.row), _parts(bad.row)
    assert better is not None
    assert worse is not None
    question: Row = {"messages": better[0]} | ({"tools": good.row["tools"]} if good.row.get("tools") else {})
    row: Row = {"input": question, "preferred_output": [better[1]], "non_preferred_output": [worse[1]]}
    for one in (bad.row, good.row):
        columns = extra_columns(tuple(one))
        label = label_of(one, columns)
        row |= {name: one[name] for name in columns if label is None or name != label[0]}
    changes = tuple(dict.fromkeys((*good.changed, *bad.changed)))
    return latest._replace(row=row, group=good.group, changed=changes, left_out={**bad.left_out, **good.left_out})
