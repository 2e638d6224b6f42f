"""Pairs answers that are labelled good or bad, one per record, with answers to the same prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic_core import to_json

from together_adapters.finetune.fingerprints import digest
from together_adapters.finetune.readers.files import Item, SourceRecord
from together_adapters.finetune.records import Refusal

ByPrompt = dict[bytes, list[SourceRecord]]


def pair_labelled(items: Iterable[Item]) -> Iterator[Item]:
    """Pairs each good answer with a bad one to the same prompt, in the order of the source; refuses the others."""
    without_partner: tuple[ByPrompt, ByPrompt] = ({}, {})
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
        others = without_partner[not label].get(key)
        if not others:
            without_partner[label].setdefault(key, []).append(item)
            continue
        other = others.pop(0)
        if not others:
            del without_partner[not label][key]
        good, bad = (item, other) if label else (other, item)
        columns = {key: value for key, value in good.value.items() if key not in ("completion", "label")}
        pair = {**columns, "chosen": good.value.get("completion"), "rejected": bad.value.get("completion")}
        yield SourceRecord(item.number, item.source, pair)
        yield Refusal(
            "paired_with_another", "its answer is in the row of another record", other.number, other.source, skipped=True
        )
    for item in (item for side in without_partner for items in side.values() for item in items):
        yield Refusal("pref_unscored", "no other answer to the prompt has the other label", item.number, item.source, "label")
