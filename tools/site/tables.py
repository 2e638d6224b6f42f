"""Writes the tables of pages that are made of data: `python tools/site/tables.py`; a test compares them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from together_adapters.types.capabilities import MODELS, TABLE_DATE, Capabilities

DOCS = Path(__file__).parents[2] / "docs"
SDK_METHODS = DOCS / "migration" / "sdk-3-methods.json"
KINDS = {
    "chat": "Chat",
    "language": "Completions",
    "embedding": "Embeddings",
    "rerank": "Rerank",
}


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _yes(value: object) -> str:
    return "yes" if value else "-"


def _count(value: int | None) -> str:
    return f"{value:,}" if value else "?"


def _price(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


def _was_removed(model: Capabilities) -> bool:
    """Whether it was gone when the table was read: today would make another page tomorrow."""
    return model.removed_on is not None and model.removed_on <= TABLE_DATE


def served(model: Capabilities) -> str:
    """How a model is served, by the table."""
    if _was_removed(model):
        return f"gone from serverless since {model.removed_on}"
    if model.served_on is None:
        return "not listed as serverless"
    until = f", until {model.removed_on}" if model.removed_on else ""
    return f"serverless, listed {model.served_on}{until}{'; needs data sharing' if model.needs_data_sharing else ''}"


def _row(name: str, model: Capabilities) -> list[str]:
    alias = f" (stands for `{model.alias_of}`)" if model.alias_of else ""
    cells = [f"`{name}`{alias}", served(model), _count(model.context_length)]
    if model.type == "chat":
        reasoning = "-" if model.reasoning is None else "optional" if model.reasoning_switch == "enabled" else "yes"
        cells += [_yes(model.tools), _yes(model.json_schema), _yes(model.vision), reasoning]
    if model.type == "embedding":
        cells += [_count(model.dimensions), f"`{model.query_prefix.strip()}`".replace("\n", " ") if model.query_prefix else "-"]
    prices = [_price(model.prices.input), _price(model.prices.output)]
    return [*cells, "\N{NO-BREAK SPACE}/\N{NO-BREAK SPACE}".join(prices), f"<nobr>{model.read_on}</nobr>"]


def model_tables() -> str:
    """The models that the library knows, one table for each kind."""
    parts = [f"Read on {TABLE_DATE}; {len(MODELS)} models.\n"]
    extra = {"chat": ["tools", "JSON schema", "vision", "reasoning"], "embedding": ["dimensions", "query prefix"]}
    for kind, title in KINDS.items():
        rows = [
            _row(name, model)
            for name, model in sorted(
                MODELS.items(),
                key=lambda item: (_was_removed(item[1]), item[1].served_on is None, item[0].lower()),
            )
            if model.type == kind
        ]
        head = ["model", "served", "context", *extra.get(kind, []), "$ in / out", "read"]
        parts.append(f"## {title}\n\n{_table(head, rows)}")
    return "\n".join(parts)


def sdk_methods() -> str:
    """The methods of the SDK's client, and what they are here."""
    data = json.loads(SDK_METHODS.read_text("utf-8"))
    rows = [
        (f"`{name}`", f"`{entry['here']}`" if "here" in entry else "not here", entry.get("note", ""))
        for name, entry in data["methods"].items()
    ]
    here = sum("here" in entry for entry in data["methods"].values())
    count = f"Of {len(rows)} methods of `together` {data['version']}, {here} are here.\n\n"
    return count + _table(["`together` 3.x", "here", ""], rows)


PAGES = {
    DOCS / "models.md": ("<!-- models -->", model_tables),
    DOCS / "migration" / "together-3.md": ("<!-- sdk-3 -->", sdk_methods),
}
"""Pages that end with a table, with the marker before it."""


def filled(page: Path) -> str:
    """A page with its table."""
    marker, table = PAGES[page]
    return f"{page.read_text('utf-8').partition(marker)[0]}{marker}\n\n{table()}"


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(filled(path), "utf-8")
