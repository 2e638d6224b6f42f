"""By which name an engine knows the model of a request."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from together_adapters.emulator.remote.connection import Exchange, read_json
from together_adapters.emulator.remote.engines import Engine, Kind
from together_adapters.emulator.remote.failures import no_model, not_an_engine, refusal
from together_adapters.types.capabilities import Capabilities, capabilities

_SUFFIX: Final = re.compile(r"(:latest|\.gguf|-gguf)$")
_EMBEDS: Final = re.compile(r"embed|(^|[^a-z])(bge|e5|gte|minilm)([^a-z]|$)")
_SECONDS: Final = 5.0  # for which a list is not asked for again


class ModelList:
    """The models that an engine lists, asked for when a request needs them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        self._names: list[str] | None = None
        self._owner = ""
        self._read_at = 0.0

    def resolve(self, model: str, kind: Kind) -> str:
        """Returns the engine's name for a model; raises `ApiError` where it has several and none that fits."""
        engine = self.engine
        if model in engine.models:
            return engine.models[model]
        names = self.names()
        name = choose_name(model, names, kind, engine.model)
        if name is None and names:
            name = choose_name(model, self.names(again=True), kind, engine.model)  # it may have been pulled meanwhile
        if name is None and self._names:
            raise no_model(engine, model, self._names)
        return name or model

    @property
    def owner(self) -> str:
        """Who the engine says its models are owned by, which tells servers apart: `llamacpp`, `vllm`, `library` for Ollama."""
        return self._owner

    def names(self, *, again: bool = False) -> list[str]:
        """Returns the names that the engine lists; none if it has no list."""
        with self._lock:
            if self._names is None or (again and time.monotonic() - self._read_at > _SECONDS):
                self._names, self._owner = self._read()
                self._read_at = time.monotonic()
            return self._names

    def capabilities(self, name: str) -> Capabilities:
        """Returns what is known of a model that the engine lists: its type, by its name where the engine does both."""
        embeds = "embeddings" in self.engine.kinds and (len(self.engine.kinds) == 1 or bool(_EMBEDS.search(name.lower())))
        return replace(capabilities(name), type="embedding") if embeds else capabilities(name)

    def _read(self) -> tuple[list[str], str]:
        exchange = Exchange(self.engine)
        try:
            status, media_type = exchange.send("GET", "/models")
            body = read_json(exchange.read())
        finally:
            exchange.close()
        if status in (404, 405, 501):
            return [], ""
        if status != 200:
            raise refusal(self.engine, "models", status, body)
        entries = body.get("data") if isinstance(body, Mapping) else body
        if not isinstance(entries, list):
            raise not_an_engine(self.engine, media_type)
        models = [entry for entry in entries if isinstance(entry, Mapping) and isinstance(entry.get("id"), str)]
        return [entry["id"] for entry in models], str(models[0].get("owned_by") or "") if models else ""


def choose_name(model: str, names: Iterable[str], kind: Kind, default: str | None = None) -> str | None:
    """Returns a model's name among those of an engine: its own, the same but for owner and tag, the default, or the only one of a kind."""
    names = list(names)
    if model in names:
        return model
    same = [name for name in names if _short(name) == _short(model)]
    if same:
        return same[0]
    of_kind = [name for name in names if bool(_EMBEDS.search(name.lower())) == (kind == "embeddings")]
    return default or next((group[0] for group in (names, of_kind) if len(group) == 1), None)


def _short(name: str) -> str:
    """Returns a name without its owner, folder and tag."""
    return _SUFFIX.sub("", name.lower().rpartition("/")[2])
