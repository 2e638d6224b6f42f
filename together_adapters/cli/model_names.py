"""The names of models in a text, and what the table of models says of each."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from together_adapters.types.capabilities import (
    DEFAULT_RERANK_MODEL,
    MODELS,
    alternatives,
    canonical_name,
    capabilities,
    is_known,
    similar_names,
    status,
)

MARKER: Final = "models-check: ignore"
"""In a comment: exempts its line, and the next one where nothing stands before it."""

_PLAIN_VALUES: Final = {
    *("", ".cfg", ".conf", ".env", ".ini", ".properties", ".yaml", ".yml"),
    *(".bash", ".fish", ".sh", ".zsh", ".md", ".rst", ".txt"),
}
"""Suffixes of files in which a value may stand without quotes."""

_OWN_PREFIX: Final = re.compile(r"(?:together(?:[_-]?ai)?|openai(?=[:/][^/]+/))[:/]", re.IGNORECASE)
"""With which LangChain, LiteLLM and others say that Together, or a server like OpenAI's, has the model that follows."""
_PREFIX: Final = re.compile(r"([\w.-]+)[:/]")
_OTHER_PROVIDERS: Final = frozenset(
    (
        "accounts ai21 amazon anthropic anyscale azure azure_ai azure_openai baseten bedrock bedrock_converse cerebras cloudflare "
        "cohere cross-encoder dashscope databricks deepinfra deepseek featherless_ai fireworks fireworks_ai friendliai gemini "
        "github google-gla google-vertex google_genai google_vertexai groq hf hosted_vllm huggingface hyperbolic ibm lm_studio "
        "local mistral models moonshot nebius novita nvidia_nim ollama ollama_chat openrouter perplexity predibase publishers "
        "replicate sagemaker sambanova sentence-transformers vertex_ai vllm voyage watsonx x-ai xai xinference"
    ).split()
)
_OTHER_NAME: Final = re.compile(
    r"(?:[\w.-]*[.-])?(?:claude|gpt-\d|gemini|anthropic\.|amazon\.|titan-)|gpt-(?!oss)|chatgpt|o[1-9](?:-|$)|text-(?:embedding|davinci|bison|"
    r"moderation)|davinci|babbage|whisper-1|tts-1|dall-e|omni-|codex-|chat-bison|embedding-00|command|c4ai|cohere\.|embed-|rerank-|"
    r"open-mi[sx]tral|mistral-(?:tiny|small|medium|large|embed|ocr|saba|nemo)|magistral|codestral|devstral|pixtral|ministral-\w+-latest|"
    r"grok|sonar|pplx|jamba|nova-|voyage|jina-|deepseek-(?:chat|reasoner|coder)$|qwen-(?:max|plus|turbo|long|vl)|moonshot-v|"
    r"(?:distil|ro)?bert-|all-(?:minilm|mpnet)|(?:cl100k|o200k)_",
    re.IGNORECASE,
)
_OWN_MODEL: Final = re.compile(r"-Reference$|-[0-9a-f]{8}$", re.IGNORECASE)
"""A model to train, or one that was trained: never serverless, so that the table says nothing of it."""
_FILE: Final = re.compile(
    r"\.(?:bin|ckpt|csv|gguf|h5|html?|joblib|js|jsonl?|md|onnx|pb|pickle|pkl|pth?|py|safetensors|ts|txt|ya?ml)$"
)

_WORD: Final = re.compile(
    r"(?<![A-Za-z0-9_.:/@-])(?:[A-Za-z0-9_.:@-]++/[A-Za-z0-9_.:/@-]++|"
    rf"(?:{'|'.join(re.escape(name) for name in MODELS if '/' not in name)})(?![A-Za-z0-9_:/@-]))(?!\{{|\$\{{)",
    re.IGNORECASE,
)
_SETTING: Final = re.compile(
    r"(?:(?:model|Model|MODEL)(?:[_-]?(?:name|Name|NAME|id|Id|ID))?[\"']?\]?\s*(?::\s*[\w.\[\]| ]{1,40}=|==|=>|:=|=|:)\s*"
    r"|--(?:[a-z]+-)*model(?:-name|-id)?[\"']?,?\s+)"
    r"(?:[fr]?(?P<quote>[\"'])(?P<quoted>[A-Za-z0-9][A-Za-z0-9_.:/@-]*)(?P=quote)"
    r"|(?P<plain>[A-Za-z0-9][A-Za-z0-9_.:/@-]*)(?=[\s,;)`\"']|$))"
)
_ESCAPE: Final = re.compile(r"\\(?:([\"'/])|[nrt])")
_MARKER_FIRST: Final = re.compile(rf"[\W_]*{MARKER}")


def find_names(text: str, file: Path) -> list[tuple[int, str]]:
    """Returns the models that the text of a file names, with their lines.

    Models of the table count wherever they stand, others where a setting or a flag names a model. In settings, scripts and prose a
    value may stand without quotes.
    """
    text = _ESCAPE.sub(lambda match: match[1] or " ", text)  # code and JSON hold strings
    names = [*_table_names(text), *_other_names(text, with_plain=file.suffix in _PLAIN_VALUES or file.name.startswith(".env"))]
    if not names:
        return []
    starts = [match.end() for match in re.finditer("\n", text)]
    exempt = _exempt_lines(text)
    lines = {(bisect_right(starts, position) + 1, name) for position, name in names}
    return sorted((line, name) for line, name in lines if line not in exempt)


@cache
def judge(model: str) -> dict[str, Any]:
    """Returns what the table says of a model, as JSON: its status, gone, unknown or fine, and a message that explains it."""
    facts: dict[str, Any] = {"model": model}
    if not is_known(model):
        similar = similar_names(model)
        message = f"{model} is unknown: not in the table" + (f"; similar names: {', '.join(similar)}" if similar else "")
        return {**facts, "status": "unknown", "similar": similar, "message": message}
    entry = capabilities(model)
    if entry.is_removed:
        message = f"{model} is {status(model)}; {substitute(model)}"
        return {**facts, "status": "gone", "since": entry.removed_on, "alternatives": alternatives(model), "message": message}
    return {**facts, "status": "fine", "message": f"{model} is fine: {status(model)}"}


def substitute(model: str) -> str:
    """Returns what is served instead of a model that is gone."""
    if names := alternatives(model):
        return f"served instead: {', '.join(names)}"
    if capabilities(model).type == "rerank":
        return f"a chat model can rank instead: {DEFAULT_RERANK_MODEL}"
    return f"Together AI offers no {capabilities(model).type} model any more, other servers do (base_url=)"


def _table_names(text: str) -> Iterator[tuple[int, str]]:
    """Yields models of the table, with their positions."""
    for match in _WORD.finditer(text):
        word = match[0].lstrip("-_.:").rstrip("_.:")
        name = word if is_known(word) else _without_provider(word)
        if name is not None and is_known(name):
            yield match.start(), canonical_name(name)


def _other_names(text: str, *, with_plain: bool) -> Iterator[tuple[int, str]]:
    """Yields models that the table does not have, with their positions."""
    for match in _SETTING.finditer(text):
        is_plain = match["plain"] is not None
        word = match["plain"].rstrip("_.:") if is_plain else match["quoted"]
        name = None if is_known(word) else _without_provider(word)
        if name and not is_known(name) and (with_plain or not is_plain) and _looks_like_model(name, is_plain=is_plain):
            yield match.start("plain" if is_plain else "quoted"), name


def _without_provider(word: str) -> str | None:
    """Returns a name without the provider in front of it; None where that is another provider, and for an address."""
    if "://" in word:
        return None
    if match := _OWN_PREFIX.match(word):
        return word[match.end() :]
    prefix = _PREFIX.match(word)
    if prefix and prefix[1].lower() in _OTHER_PROVIDERS:
        return None
    _, colon, name = word.partition(":")
    return _without_provider(name) if colon and "/" in name else word


def _looks_like_model(name: str, *, is_plain: bool) -> bool:
    owner, slash, title = name.rpartition("/")
    if "/" in owner or ":" in name or "@" in name or _OTHER_NAME.match(title) or _OWN_MODEL.search(title) or _FILE.search(title):
        return False
    has_digit, has_hyphen = re.search(r"[0-9]", title) is not None, "-" in title
    return bool(re.search("[A-Za-z].|.[A-Za-z]", title)) and (
        bool(slash) or (has_digit and has_hyphen if is_plain else has_digit or has_hyphen)
    )


def _exempt_lines(text: str) -> set[int]:
    numbers = set[int]()
    if MARKER in text:
        for number, line in enumerate(text.split("\n"), 1):
            if MARKER in line:
                numbers |= {number, number + 1} if _MARKER_FIRST.match(line) else {number}
    return numbers
