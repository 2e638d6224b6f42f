"""Tokens counted by a tokenizer file."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import conversation
from together_adapters.finetune import check_jsonl
from together_adapters.finetune.validation.token_lengths import open_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer of words that adds a start token and truncates after two tokens, like those of models."""
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.models.WordLevel({"?": 0, "<s>": 1, "Question": 2}, unk_token="?")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_texts_are_counted_without_special_tokens(folder: Path) -> None:
    for name in (folder, folder / "tokenizer.json", str(folder)):
        count = open_tokenizer(name)
        assert count("Question one two three") == 4
        assert count("half \ud800") == 2
        assert pickle.loads(pickle.dumps(count))("one two three") == 3


def test_a_report_by_a_tokenizer(folder: Path) -> None:
    path = folder / "train.jsonl"
    path.write_text("".join(map(conversation, range(5))), "utf-8")
    report = check_jsonl(path, tokenizer=open_tokenizer(folder))
    assert (report.tokens.total, report.tokens_from) == (5 * 4, "tokenizer")
    assert check_jsonl(path, tokenizer=open_tokenizer(folder), workers=2) == report


def test_invalid_tokenizers(folder: Path) -> None:
    (folder / "other.json").write_text("{}", "utf-8")
    with pytest.raises(ValueError, match=r"other.json is not a tokenizer"):
        open_tokenizer(folder / "other.json")
    for name in (folder / "none.json", "none.json", "./none/here", "none"):
        with pytest.raises(FileNotFoundError, match="owner/model"):
            open_tokenizer(name)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match="pip install tokenizers"):
        open_tokenizer("tokenizer.json")
