"""The renderer: one value, as JSON or through a view."""

from __future__ import annotations

import json
from typing import Any

import pytest

from together_adapters.cli.output import Column, Result, Table, render

ITEMS = [{"id": "a", "size": {"bytes": 1500}, "score": None}, {"id": "b", "size": None, "score": 0.5}]
TABLE = Table(
    Column("ID", "id", no_wrap=True),
    Column("Bytes", "size.bytes", "{:,}".format, right=True),
    Column("Score", "score", "{:.2f}".format, right=True),
    empty="No items.",
)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_result_gives_the_exit_code(as_json: bool) -> None:
    assert render(Result({"a": 1}, exit_code=1), as_json=as_json) == 1
    assert render({"a": 1}, as_json=as_json) == 0
    assert render(None, as_json=as_json) == 0


def test_json_is_the_value_and_not_the_view(capsys: pytest.CaptureFixture[str]) -> None:
    render(Result(ITEMS, TABLE), as_json=True)
    assert json.loads(capsys.readouterr().out) == ITEMS


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    render(Result(ITEMS, TABLE), as_json=False)
    assert capsys.readouterr().out.splitlines() == ["ID  Bytes  Score", "a   1,500", "b           0.50"]


@pytest.mark.parametrize("items", [[], ()])
def test_empty_table_is_a_note(capsys: pytest.CaptureFixture[str], items: Any) -> None:
    render(Result(items, TABLE), as_json=False)
    assert capsys.readouterr() == ("", "No items.\n")
