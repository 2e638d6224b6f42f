"""The corpus: clean passages of an even length, each under a title of its own."""

from __future__ import annotations

import re

from together_adapters.demo import corpus


def test_passages() -> None:
    passages = corpus.passages()
    assert passages == corpus.passages()
    assert len(passages) > 200
    assert len({passage.title for passage in passages}) == len(passages)
    assert len({passage.text for passage in passages}) == len(passages)
    assert max(len(passage.text) for passage in passages) < 1.9 * corpus.LENGTH


def test_markup_is_undone() -> None:
    for passage in corpus.passages():
        prose = re.sub(r"^    .*$", "", passage.text, flags=re.MULTILINE)
        assert not re.search(r"::=|^\*+$|^=+$|^\.\. |[ .]\[\d+\](?!\w)", prose, re.MULTILINE), passage
        assert "See also:" not in prose, passage
        assert "Footnotes" not in passage.title + prose, passage


def test_a_topic_reads_well() -> None:
    passages = {passage.title: passage.text for passage in corpus.passages()}
    assert passages["The pass statement"].startswith("`pass` is a null operation — when it is executed, nothing happens.")
    assert "    def f(arg): pass" in passages["The pass statement"]


def test_layout() -> None:
    lines = """\
The *odd* "is" statement [1]
is wrapped.

1. An item:

   goes on.

   Note:

     A note.

For example

   if x:

       y

object.__odd__(self)

   Does nothing.

See also:

  Nothing.

+---+------+
| A | "b"  |
|===|======|
| 1 | long |
|   | cell |
+---+------+""".splitlines()
    assert [block.text for block in corpus._blocks(lines)] == [
        "The odd `is` statement is wrapped.",
        "1. An item:",
        "goes on.",
        "Note:",
        "A note.",
        "For example",
        "    if x:",
        "        y",
        "object.__odd__(self)",
        "Does nothing.",
        "    A | `b`\n    1 | long cell",
    ]
