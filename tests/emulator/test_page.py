"""The examples of docs/emulator.md run, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "emulator.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["replies", "limits", "bill"])
def test_example_runs(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(example, str(PAGE), "exec"), {"__name__": "__main__"})
    out, err = capsys.readouterr()
    assert err == ""
    if "emulator.bill" in example:
        assert out.startswith("chat openai/gpt-oss-120b o")


def test_links_are_valid() -> None:
    links = re.findall(r"\]\(([^)#]+)", PAGE.read_text("utf-8"))
    assert links and all((PAGE.parent / link).exists() for link in links)
