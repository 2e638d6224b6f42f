"""Reasoning between tags at the start of a text is separated, wherever the text is split."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_adapters.types.reasoning import ReasoningSplitter, split_reasoning

TEXTS = {
    "<think>2+2</think>\n\n4": ("2+2", "4"),
    "  \n<think>\nhm\n</think>4 ": ("\nhm\n", "4 "),
    "<think></think>4": ("", "4"),
    "<think>never closed": ("never closed", ""),
    "<think>almost </thin closed": ("almost </thin closed", ""),
    "<think>a < b </ c</think> yes": ("a < b </ c", "yes"),
    "<think>one</think><think>two</think>": ("one", "<think>two</think>"),
    "<think>": ("", ""),
    "<think>x</think>": ("x", ""),
    "<think>x</think> \n": ("x", ""),
    "<think>Ünï 🦙</think>Zürich": ("Ünï 🦙", "Zürich"),
    "<thinking>is another tag": ("", "<thinking>is another tag"),
    "<thi": ("", "<thi"),
    "  <thi": ("", "  <thi"),
    "plain <think>late</think>": ("", "plain <think>late</think>"),
    "</think> closed, never opened": ("", "</think> closed, never opened"),
    "  leading space stays": ("", "  leading space stays"),
    "<": ("", "<"),
    "": ("", ""),
    "   ": ("", "   "),
}

WORDS = st.text(alphabet="<>/think ab\nü🦙")


def combined(chunks: list[str], tags: tuple[str, str] | None = ("<think>", "</think>")) -> tuple[str, str]:
    splitter = ReasoningSplitter(tags)
    result = [part for chunk in chunks for part in splitter.feed(chunk)] + splitter.end()
    assert all(text for _, text in result)
    return tuple("".join(text for kind, text in result if kind == expected) for expected in ("reasoning", "text"))  # type: ignore[return-value]


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_split(text: str) -> None:
    assert split_reasoning(text) == TEXTS[text]


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_every_two_splits_give_the_same(text: str) -> None:
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            assert combined([text[:first], text[first:second], text[second:]]) == TEXTS[text]
    assert combined(list(text)) == TEXTS[text]


@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "think>", "</", "\n", " ", "a", "ü", "🦙"]), max_size=8), st.data())
def test_any_split_of_any_text_give_the_same(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    ends = [0, *cuts, len(text)]
    assert combined([text[start:end] for start, end in pairwise(ends)]) == split_reasoning(text)


@given(WORDS, WORDS)
def test_a_block_that_starts_a_response_is_reasoning(reasoning: str, answer: str) -> None:
    inside = reasoning.replace("</think>", "")
    result = split_reasoning(f"<think>{inside}</think>{answer}")
    assert result == (inside, answer.lstrip())


@given(WORDS)
def test_nothing_is_split_without_tags(text: str) -> None:
    assert combined(list(text), None) == ("", text)
    assert split_reasoning(text, None) == ("", text)


@given(WORDS)
def test_text_without_a_block_is_the_response(text: str) -> None:
    if not text.lstrip().startswith("<think>"):
        assert split_reasoning(text) == ("", text)


def test_text_is_not_buffered_once_it_is_decided() -> None:
    splitter = ReasoningSplitter()
    assert splitter.feed("<think>") == []
    assert splitter.feed("step by step <") == [("reasoning", "step by step ")]
    assert splitter.feed("b") == [("reasoning", "<b")]
    assert splitter.feed("</think>") == []
    assert splitter.feed("\nyes") == [("text", "yes")]
    assert splitter.feed(" <think>") == [("text", " <think>")]
    assert splitter.end() == []


def test_other_tags() -> None:
    assert split_reasoning("[R]why[/R] because", ("[R]", "[/R]")) == ("why", "because")
    assert split_reasoning("<think>why</think> because", ("[R]", "[/R]")) == ("", "<think>why</think> because")
    assert combined(list("<|x|>why<|x|>so"), ("<|x|>", "<|x|>")) == ("why", "so")
