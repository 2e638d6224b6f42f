"""Writes `together_adapters/types/models.json` from the sources in `tools/models`: `python tools/models_table.py`; a test compares them.

To renew the table, add a source or change one with its `read_on`, and run the script.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "models"
TABLE = Path(__file__).parent.parent / "together_adapters" / "types" / "models.json"
ABOUT = (
    "Facts about models, as other people read them: 'says' names the sources of a row, 'read_on' the day of the newest. What nobody "
    "says is missing. 'removed_on': said to be gone from serverless; 'served_on': the last day on which the vendor listed it as serverless. "
    "Made by tools/models_table.py. Not checked against the live service."
)
_RENAMED = {"removal_date": "removed_on", "serverless_on": "served_on", "usd_per_million": "prices"}
_SAME = (
    "type", "alias_of", "context_length", "max_output_tokens", "tools", "json_schema", "vision", "audio", "video",
    "reasoning_switch", "dimensions", "query_prefix", "document_prefix", "needs_data_sharing",
)  # fmt: skip


def read_row(facts: dict[str, Any]) -> dict[str, Any]:
    """Returns a row of a source under the names of the table."""
    row = {name: facts[name] for name in _SAME if name in facts}
    row |= {_RENAMED[name]: value for name, value in facts.items() if name in _RENAMED and value is not None}
    if special := facts.get("other", {}).get("type"):  # a map takes everything that it does not know for a chat model
        row["type"] = special
    if reasoning := facts.get("reasoning_field") or facts.get("reasoning"):
        row["reasoning"] = reasoning if isinstance(reasoning, str) else "reasoning"
    return row


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Returns the facts of both."""
    return {**old, **new, **({"type": old["type"]} if old.get("type", "chat") != "chat" else {})}


def table() -> dict[str, Any]:
    """The whole table, by name of model."""
    sources = sorted(
        (json.loads(file.read_text("utf-8")) for file in SOURCES.glob("*.json")), key=lambda source: source["read_on"]
    )
    models: dict[str, dict[str, Any]] = {}
    for source in sources:
        for name, facts in source["models"].items():
            old = models.get(name, {})
            row = read_row(facts)
            if "reasoning_field" not in facts and isinstance(old.get("reasoning"), str):
                row.pop("reasoning", None)
            models[name] = merge(old, row) | {
                "says": [*dict.fromkeys([*old.get("says", ()), *facts["says"]])],
                "read_on": source["read_on"],
            }
    for row in models.values():
        if row.get("type") in ("embedding", "rerank", "language"):
            row["tools"] = False
    return {
        "read_on": sources[-1]["read_on"],
        "about": ABOUT,
        "models": dict(sorted(models.items(), key=lambda item: item[0].lower())),
    }


def text() -> str:
    """The file: one line for each model."""
    content = table()
    rows = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(row, ensure_ascii=False)}" for name, row in content.pop("models").items()
    )
    head = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in content.items())
    return f'{{\n{head},\n "models": {{\n{rows}\n }}\n}}\n'


if __name__ == "__main__":
    TABLE.write_text(text(), "utf-8")
