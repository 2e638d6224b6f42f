"""The engines of an emulator, with what is learned about them."""

from __future__ import annotations

from contextlib import suppress

from together_adapters.emulator.errors import ApiError
from together_adapters.emulator.remote.engines import Engine, EngineOption, Kind, engines_by_kind
from together_adapters.emulator.remote.model_names import ModelList
from together_adapters.types.capabilities import Capabilities


class RemoteModels:
    """The engines of an emulator, with the names of their models and the parameters that they were seen to refuse."""

    def __init__(self, option: EngineOption | None = None) -> None:
        self._engines = engines_by_kind(option)
        lists = {id(engine): ModelList(engine) for engine in self._engines.values()}
        self._lists = {kind: lists[id(engine)] for kind, engine in self._engines.items()}
        self._not_taken: dict[str, set[str]] = {engine.url: set() for engine in self._engines.values()}

    def __contains__(self, kind: object) -> bool:
        return kind in self._engines

    def __bool__(self) -> bool:
        return bool(self._engines)

    def kinds_by_url(self) -> dict[str, list[Kind]]:
        """Returns the kinds that each engine answers, by its URL."""
        urls: dict[str, list[Kind]] = {}
        for kind, engine in sorted(self._engines.items()):
            urls.setdefault(engine.url, []).append(kind)
        return urls

    def names(self) -> dict[str, Capabilities]:
        """Returns the models that engines list, as far as they can be reached. It blocks."""
        models: dict[str, Capabilities] = {}
        for entry in {id(entry): entry for entry in self._lists.values()}.values():
            with suppress(ApiError):
                models |= {name: entry.capabilities(name) for name in entry.names(again=True)}
        return models

    def engine(self, kind: Kind) -> tuple[Engine, ModelList, set[str]]:
        """Returns the engine of a kind, its models, and the parameters that it refuses."""
        engine = self._engines[kind]
        return engine, self._lists[kind], self._not_taken[engine.url]
