"""The examples of docs/testing.md that are tests run here as they stand; `testing/test_page.py` has those about recorded tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:inspect")  # workflows of LlamaIndex look at all of an agent
PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
TEXT = PAGE.read_text("utf-8").partition("\n## Recorded tests\n")[0]
TESTS = re.compile(r"^(?:@pytest\.mark\..*\n)*(?:async )?def test_\w+\(.*\n(?:(?:    .*)?\n)*", re.MULTILINE)

for example in re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL):
    exec(compile(example, str(PAGE), "exec"))


def test_tests_are_short() -> None:
    lengths = [len(match[0].strip().splitlines()) for match in TESTS.finditer(TEXT)]
    assert len(lengths) >= 6
    assert max(lengths) <= 12  # with a marker and a signature: ten lines of their own


def test_links_are_valid() -> None:
    links = re.findall(r"\]\(([^)]*)\)", TEXT)
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    for path, _, anchor in (link.partition("#") for link in links if not link.startswith("http")):
        assert (PAGE.parent / path).exists() if path else anchor in {*headings, "recorded-tests"}, (path, anchor)
