"""The names of models that a text mentions: of the table anywhere, of others where a setting names a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cases import each
from together_adapters.cli.model_names import find_names, judge
from together_adapters.types.capabilities import MODELS, TABLE_DATE

GONE = "openai/gpt-oss-20b"  # models-check: ignore
FINE = "openai/gpt-oss-120b"


def names(text: str, file: str = "app.py") -> list[str]:
    return [name for _, name in find_names(text, Path(file))]


@each("name", MODELS)
def test_every_model_of_the_table_is_found(name: str) -> None:
    assert names(f"We use {name}.", "notes.md") == [name]
    assert names(f'llm = Chat("{name.upper()}")') == [name]


@pytest.mark.parametrize(
    "text",
    [
        "{}", "({})", "`{}`,", "**{}**", "_{}_", "[{}](https://example.com)", "{}: cheap", "- {}", "{}; {}", "model={}", "MODEL={}\n",
        "'{}'", '"{}"', "<b>{}</b>", "together:{}", "together/{}", "together_ai/{}", "Together_AI/{}", "togetherai:{}", "openai/{}",
        "model: together_ai/{}", "用{}吧", "{}'s answers", "{}?", '\\"{}\\"', '"Models:\\n{}\\n"', "{}\\n", "a|{}|b", "{} ",
    ],
)  # fmt: skip
def test_a_name_counts_as_a_whole_word(text: str) -> None:
    assert set(names(text.replace("{}", GONE), "a.txt")) == {GONE}


def test_slashes_may_be_escaped() -> None:
    assert names(json.dumps({"model": GONE}).replace("/", "\\/"), "a.json") == [GONE]


@pytest.mark.parametrize(
    "text",
    [
        "{}-Instruct-Reference", "{}-2", "{}b", "{}_v2", "{}.5", "{}/v2", "{}@main", "{}:free", "acme/{}", "my-{}", "x{}", "./{}", "/{}",
        "https://example.com/{}", "groq/{}", "groq:{}", "openrouter/{}", "huggingface:{}", "../models/{}", 'f"{}{suffix}"', "{}${TAG}",
        'f"{}-{suffix}"', 'f"{account}/{}"',
    ],
)  # fmt: skip
def test_a_part_of_another_name_does_not_count(text: str) -> None:
    assert GONE not in names(text.replace("{}", GONE), "a.txt")


def test_a_fine_tuned_model_is_no_mention_of_its_base() -> None:
    assert names('model = "acme/gpt-oss-20b-support-0123abcd"') == []
    assert names('model = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"') == []


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ('Chat(model="acme/new-7b")', "a.py"),
        ("Chat(model='acme/new-7b')", "a.py"),
        ('Embed(model_name = "acme/new-7b")', "a.py"),
        ('model: str = "acme/new-7b"', "a.py"),
        ('model: str | None = "acme/new-7b"', "a.py"),
        ('DEFAULT_MODEL: Final = "acme/new-7b"', "a.py"),
        ('if model == "acme/new-7b":', "a.py"),
        ('settings["model"] = "acme/new-7b"', "a.py"),
        ('init_chat_model("x", model="together:acme/new-7b")', "a.py"),
        ('run(["chat", "--model", "acme/new-7b"])', "a.py"),
        ('{"model": "acme/new-7b"}', "a.json"),
        (json.dumps({"source": ['llm = Chat(model="acme/new-7b")\n']}), "a.ipynb"),
        ('model = "acme/new-7b"', "a.toml"),
        ("model: acme/new-7b", "a.yaml"),
        ("model: acme/new-7b  # small", "a.yaml"),
        ("embedding_model: 'acme/new-7b'", "a.yaml"),
        ("LLM_MODEL=acme/new-7b", ".env"),
        ("LLM_MODEL=acme/new-7b", ".env.local"),
        ('export MODEL="acme/new-7b"', "a.sh"),
        ("together-adapters completions --model acme/new-7b", "a.sh"),
        ("together-adapters completions --model=acme/new-7b", "README.md"),
        ("serve --embedding-model acme/new-7b", "a.txt"),
        ("ENV MODEL=acme/new-7b", "Dockerfile"),
        ('embeddingModel: "acme/new-7b",', "a.ts"),
        ('model: "together_ai/acme/new-7b"', "a.js"),
    ],
)
def test_unknown_models_are_found_where_a_setting_names_one(text: str, file: str) -> None:
    assert names(text, file) == ["acme/new-7b"]


@pytest.mark.parametrize(
    "text",
    [
        'import acme/new-7b', 'path = "acme/new-7b"', "see acme/new-7b", "model = total/2", "model: Model", "model=model", "model=self.model-1",
        'model=""', 'model="default"', 'model="llama.gguf"', 'model_path="acme/new-7b"', 'model="weights/model-1.safetensors"',
        'model="N/A"', "the model: see docs",
    ],
)  # fmt: skip
def test_other_texts_name_no_model(text: str) -> None:
    assert names(text) == []


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o", "gpt-4.1-mini", "openai/gpt-4o", "openai:gpt-5", "o3-mini", "text-embedding-3-small", "claude-sonnet-4-5",
        "anthropic/claude-3-5-sonnet-20241022", "anthropic.claude-v2", "us.anthropic.claude-sonnet-4-v1:0", "gemini-2.0-flash",
        "google/gemini-2.5-pro", "gemini/gemini-2.0-flash", "groq/llama-3.1-8b-instant", "ollama/llama3.1:8b", "llama3.1:8b",
        "command-r-plus", "mistral-large-latest", "mistral/mistral-small-latest", "deepseek-chat", "grok-4", "voyage-3",
        "sentence-transformers/all-MiniLM-L6-v2", "accounts/fireworks/models/llama-v3p1-8b-instruct", "azure/my-deployment-1",
        "bedrock/amazon.titan-embed-text-v1", "whisper-1", "rerank-v3.5", "embed-english-v3.0",
    ],
)  # fmt: skip
def test_models_of_other_providers_are_not_unknown(name: str) -> None:
    assert names(f'model="{name}"') == []


def test_lines_are_counted_from_one() -> None:
    text = f'# models\n\nfirst = "{GONE}"  # {FINE}\r\nsecond = "{GONE}"'
    assert find_names(text, Path("a.py")) == [(3, FINE), (3, GONE), (4, GONE)]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f'a = "{GONE}"  # models-check: ignore\nb = "{GONE}"', [2]),
        (f'# models-check: ignore\na = "{GONE}"\nb = "{GONE}"', [3]),
        (f"<!-- models-check: ignore -->\n{GONE}\n{GONE}", [3]),
        (f"// models-check: ignore: the model of 2025\n{GONE}", []),
    ],
)
def test_a_comment_exempts_its_line_or_the_next(text: str, lines: list[int]) -> None:
    assert [line for line, _ in find_names(text, Path("a.md"))] == lines


def test_long_words_take_no_long_time() -> None:
    """A quadratic search would take minutes."""
    assert names("iVBORw0KGgo" * 100_000 + "/" + "model" * 100_000 + "--a" * 100_000) == []


def test_judgement() -> None:
    gone = judge(GONE)
    assert (gone["status"], gone["since"]) == ("gone", MODELS[GONE].removed_on)
    assert gone["alternatives"]
    assert all(MODELS[name].is_served and name in gone["message"] for name in gone["alternatives"])
    assert judge(FINE)["status"] == "fine"
    unknown = judge("openai/gpt-oss-121b")
    assert unknown["status"] == "unknown"
    assert unknown["similar"][0] == FINE
    assert FINE in unknown["message"]


@pytest.mark.parametrize(
    "name", [name for name, entry in MODELS.items() if entry.is_removed and entry.type in ("embedding", "rerank")]
)
def test_a_kind_that_nobody_serves_has_another_way(name: str) -> None:
    judgement = judge(name)
    assert judgement["alternatives"] == []
    assert "base_url=" in judgement["message"] or "chat model" in judgement["message"]


def test_the_table_is_dated() -> None:
    assert judge(GONE)["since"] <= TABLE_DATE
