"""Which server answers which kind of request, and by which names of models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args
from urllib.parse import SplitResult, urlsplit

from together_adapters.suggestions import suggests_keywords

Kind: TypeAlias = Literal["chat", "completions", "embeddings"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
DEFAULT_TIMEOUT: Final = 600.0


@suggests_keywords
@dataclass(frozen=True, slots=True)
class Engine:
    """An OpenAI-compatible server that answers in place of the emulator's rules: llama.cpp's server, vLLM, Ollama and the like.

    Attributes:
        url: Its base URL, such as `http://127.0.0.1:8080/v1`. Without a path, `/v1` is added.
        key: The key that it is sent, if it wants one. It never gets the key of a client of the emulator.
        model: The name that it is sent for each model that `models` does not name, and that it does not serve under its own name.
            None takes its only model.
        models: Its names of models, by the names in requests: `{"openai/gpt-oss-120b": "gpt-oss:20b"}`.
        kinds: What it answers, of `chat`, `completions` and `embeddings`.
        timeout: Seconds to wait for the next byte of an answer. Connecting takes 5 at most.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    model: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    kinds: Sequence[Kind] = KINDS
    timeout: float = DEFAULT_TIMEOUT

    def __post_init__(self) -> None:
        parts = _parts(self.url)
        if parts is None:
            raise ValueError(f"engine: {self.url.rpartition('@')[2]!r} is not a URL such as http://127.0.0.1:8080/v1")
        path = parts.path.rstrip("/") or "/v1"
        object.__setattr__(self, "url", f"{parts.scheme}://{parts.netloc}{path}")
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise ValueError(f"engine: kind {unknown[0]!r} is none of {', '.join(KINDS)}")
        if not self.timeout > 0:
            raise ValueError(f"engine: timeout={self.timeout!r} must be more than 0")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise ValueError("engine: key has characters that a header cannot hold")


def _parts(url: str) -> SplitResult | None:
    """Returns the parts of the base URL of a server; None if it is no such URL, or has more than that."""
    try:
        parts = urlsplit(url)
        has_host = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return None if not has_host or parts.query or parts.fragment or "@" in parts.netloc else parts


EngineOption: TypeAlias = "str | Engine | Sequence[str | Engine]"


def engines_by_kind(option: EngineOption | None) -> dict[Kind, Engine]:
    """Returns the engine of each kind. One that names fewer kinds than another takes them from it.

    Raises:
        ValueError: Two engines have one kind, or an engine is not valid.
    """
    options = [option] if isinstance(option, str | Engine) else list(option or ())
    engines = [parse_engine(entry) if isinstance(entry, str) else entry for entry in options]
    by_kind: dict[Kind, Engine] = {}
    for engine in sorted(engines, key=lambda engine: -len(engine.kinds)):
        for kind in engine.kinds:
            if kind in by_kind and len(by_kind[kind].kinds) == len(engine.kinds):
                raise ValueError(f"engine: both {by_kind[kind].url} and {engine.url} are for {kind}")
            by_kind[kind] = engine
    return by_kind


def parse_engine(text: str, key: str | None = None, models: Iterable[str] = ()) -> Engine:
    """Parses `URL`, or `embeddings=URL` and `chat,completions=URL` for some kinds.

    Args:
        text: The URL, with or without kinds.
        key: The key of the engine.
        models: Its models: `NAME`, or `NAME IN REQUESTS=NAME`.
    """
    kinds, equals, url = text.partition("=")
    named = equals and "/" not in kinds
    pairs = [entry.partition("=") for entry in models]
    defaults = [name for name, equals, _ in pairs if not equals]
    if len(defaults) > 1:
        raise ValueError(f"engine model: both {defaults[0]!r} and {defaults[1]!r} are for every name; write NAME={defaults[1]}")
    mapping = {name: engine_name for name, equals, engine_name in pairs if equals}
    kinds_of_engine: Sequence[Kind] = [kind.strip() for kind in kinds.split(",")] if named else KINDS  # type: ignore[misc]
    return Engine(url if named else text, key, defaults[0] if defaults else None, mapping, kinds_of_engine)


def command_line_engines(texts: Sequence[str], key: str | None, models: Sequence[str]) -> list[Engine]:
    """Returns the engines of `--engine`, `--engine-key` and `--engine-model`.

    Raises:
        ValueError: An option has no engine, or the key would be sent to several servers.
    """
    if not texts and models:
        raise ValueError("--engine-model needs --engine")
    engines = [parse_engine(text, key, models) for text in texts]
    if key and len({urlsplit(engine.url).netloc for engine in engines}) > 1:
        raise ValueError("--engine-key would go to several servers; serve(engine=[Engine(URL, key=...), ...]) gives each its own")
    return engines
