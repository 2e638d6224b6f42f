"""The service that answers: an emulator in this process, or the one that the settings name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from together_adapters.client import Together
from together_adapters.control import Control
from together_adapters.errors import ModelNotAvailableError, ModelRemovedWarning
from together_adapters.types.capabilities import DEFAULT_EMBEDDING_MODEL, alternatives, capabilities

if TYPE_CHECKING:
    from together_adapters.emulator import Emulator

Mode = Literal["default", "strict"]
"""What an emulator serves: more than the service of today, or the same."""
_LOOPBACK: Final = "127.0.0.1"
_PROXY_EXCEPTIONS: Final = ("no_proxy", "NO_PROXY")


@dataclass(frozen=True)
class Service:
    """Who answers, with which models, and the control that counts what is used.

    Attributes:
        client: The client that every request of the demo goes through.
        control: Its control, whose ledger has a row for each call.
        prices: The prices by which the control counts dollars.
        chat_model: The model that answers.
        rank_model: The chat model that ranks passages.
        emulator: The emulator of this process; None if somebody else serves.
        mode: What that emulator serves.
    """

    client: Together
    control: Control
    prices: Mapping[str, Any]
    chat_model: str
    rank_model: str
    emulator: Emulator | None = None
    mode: Mode | None = None

    @property
    def has_embeddings(self) -> bool:
        """Whether it serves an embedding model, as the service of today does not."""
        return self.mode == "default"


def is_configured(settings: Mapping[str, Any]) -> bool:
    """Whether the settings of a client or the environment name a service or a key."""
    variables = ("TOGETHER_API_KEY", "TOGETHER_BASE_URL", "TOGETHER_API_BASE")
    return bool(settings.get("api_key") or settings.get("base_url") or any(map(os.environ.get, variables)))


@contextmanager
def connect(
    settings: Mapping[str, Any], mode: Mode | None, *, chat_model: str, rank_model: str, delay: float = 0.0
) -> Iterator[Service]:
    """Connects to the service of the settings, or with a mode to a new emulator, which waits for `delay` seconds between chunks."""
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", ModelRemovedWarning)  # the page says which models are used, and why no vectors
        prices = _table_prices(chat_model, rank_model, DEFAULT_EMBEDDING_MODEL)
        control = Control(prices=prices)
        if mode is None:
            client = stack.enter_context(Together(**settings, control=control))
            chat_model, rank_model = (_find_model(client, name) for name in (chat_model, rank_model))
            yield Service(client, control, prices, chat_model, rank_model)
            return
        from together_adapters.emulator import Behaviour, serve

        emulator = stack.enter_context(serve(behaviour=Behaviour(strict=mode == "strict", delay=delay)))
        _bypass_proxies()
        address = {"base_url": emulator.base_url, "api_key": emulator.api_key}
        client = stack.enter_context(Together(**{**settings, **address}, control=control))
        yield Service(client, control, prices, chat_model, rank_model, emulator, mode)


def _table_prices(*models: str) -> dict[str, Any]:
    """Returns the prices of the table of models, which by itself holds for the service of Together AI alone."""
    prices = {model: capabilities(model).prices for name in models for model in (name, *alternatives(name))}
    return {model: price for model, price in prices.items() if price.input is not None}


def _find_model(client: Together, model: str) -> str:
    """Returns a model, or one of its alternatives if the service says that it does not serve it: models go within months."""
    for name in (model, *alternatives(model)):
        try:
            client.chat.completions.create(model=name, messages=[{"role": "user", "content": "Hi"}], max_tokens=1)
        except ModelNotAvailableError:
            continue
        return name
    return model  # whose first request says why


def _bypass_proxies() -> None:
    """Lets this process reach its own emulator where the environment names a proxy."""
    for name in _PROXY_EXCEPTIONS:
        hosts = os.environ.get(name, "")
        if _LOOPBACK not in hosts.split(",") and hosts != "*":
            os.environ[name] = f"{hosts},{_LOOPBACK}" if hosts else _LOOPBACK
