"""Answers that are labelled good or bad, one in a record, made into pairs of those to the same prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic_core import to_json

from together_adapters.finetune.fingerprints import digest
from together_adapters.finetune.readers.files import Found, Item
from together_adapters.finetune.records import Refusal

Waiting = dict[bytes, list[Found]]


def paired(items: Iterable[Item]) -> Iterator[Item]:
    """Pair each good answer with a bad one to the same prompt, in the order of the source; what finds no partner is refused.

    Args:
        items: Records with `prompt`, `completion` and `label`.
    """
    waiting: tuple[Waiting, Waiting] = ({}, {})
    for item in items:
        if isinstance(item, Refusal):
            yield item
            continue
        record = item.value
        if not isinstance(record, dict) or not isinstance(record.get("label"), bool):
            yield Refusal("pref_unscored", "the record has no label", item.number, item.source, "label", record)
            continue
        key = digest(to_json(record.get("prompt"), serialize_unknown=True))
        label = record["label"]
        others = waiting[not label].get(key)
        if not others:
            waiting[label].setdefault(key, []).append(item)
            continue
        other = others.pop(0)
        if not others:
            del waiting[not label][key]
        good, bad = (item, other) if label else (other, item)
        pair = {**good.value, "chosen": good.value.get("completion"), "rejected": bad.value.get("completion")}
        yield Found(item.number, item.source, {key: value for key, value in pair.items() if key not in ("completion", "label")})
        yield Refusal(
            "paired_with_another", "its answer is in the row of another record", other.number, other.source, skipped=True
        )
    for left in (item for side in waiting for items in side.values() for item in items):
        yield Refusal("pref_unscored", "no other answer to the prompt has the other label", left.number, left.source, "label")
