"""What calls cost: by the prices that users give, else by the service's catalogue, else by the table of models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING, Any, Final

from together_adapters.errors import ConfigurationError
from together_adapters.types.capabilities import capabilities

if TYPE_CHECKING:
    from together_adapters.transport.config import Config

Price = Mapping[str, float]
"""Dollars by unit."""
Amount = Mapping[str, float]
"""How many of each unit."""

_MILLION: Final = 1_000_000
TOKEN_UNITS: Final = ("input", "cached_input", "output")
TOKEN_KINDS: Final = frozenset({"chat", "completion", "embeddings", "rerank"})
"""Kinds of calls that are sold by the token."""
UNITS: Final = frozenset(
    {*TOKEN_UNITS, "million_characters", "character", "image", "megapixel", "second", "minute", "video", "request"}
)
_CATALOGUE_UNITS: Final[Mapping[str, tuple[str, str]]] = {
    "image": ("base", "image"),
    "video": ("base", "video"),
    "speech": ("input", "million_characters"),
}
"""The field of the catalogue's prices, and its unit, for kinds that are not sold by the token. Not checked against the service."""
_MAX_CATALOGUES: Final = 16
_MAX_MODELS: Final = 1024


@dataclass(slots=True)
class Tokens:
    """Tokens of a request or of several."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    def add(self, other: Tokens) -> None:
        """Adds those of another request."""
        self.input += other.input
        self.cached += other.cached
        self.output += other.output
        self.reasoning += other.reasoning


def token_cost(price: Price | None, tokens: Tokens, requests: float) -> float | None:
    """Returns dollars for tokens and requests; None if the price has neither, or lacks that of generated tokens."""
    if price is None:
        return None
    by_request, of_input = price.get("request"), price.get("input")
    if of_input is None:
        return None if by_request is None else by_request * requests
    of_output = price.get("output")
    if of_output is None:
        if tokens.output:
            return None
        of_output = 0.0
    cached = tokens.cached if tokens.cached < tokens.input else tokens.input
    dollars = ((tokens.input - cached) * of_input + cached * price["cached_input"] + tokens.output * of_output) / _MILLION
    return dollars if by_request is None else by_request * requests + dollars


def cost(price: Price | None, amount: Amount) -> float | None:
    """Returns dollars for what is not sold by the token: the sum over the units that the price names; None if it names none."""
    units = price.keys() & amount.keys() if price else None
    if not price or not units:
        return None
    return sum(dollars * amount[unit] for unit, dollars in price.items() if unit in units)


class PriceBook:
    """The prices of models and kinds of calls."""

    def __init__(self, prices: Mapping[str, Any] | None) -> None:
        if prices is not None and not isinstance(prices, Mapping):
            raise ConfigurationError(f"prices must map names of models to prices, not {type(prices).__name__}")
        self._prices = {str(name).lower(): _valid_price(name, price) for name, price in (prices or {}).items()}
        self._catalogues: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._cache: dict[tuple[str, str], tuple[Config, Any, Price | None]] = {}

    def find(self, model: str, kind: str, config: Config) -> Price | None:
        """Returns the price of a model for a kind of call; None where nobody says."""
        catalogue = config.memory.results.get("models")
        cached = self._cache.get((model, kind))
        if cached is None or cached[0] is not config or cached[1] is not catalogue:
            if len(self._cache) >= _MAX_MODELS:
                self._cache.clear()
            cached = self._cache[model, kind] = (config, catalogue, self._search(model, kind, config))
        return cached[2]

    def _search(self, model: str, kind: str, config: Config) -> Price | None:
        name = model.lower()
        if (price := self._prices.get(name)) is not None:
            return price
        if model and (price := self._of_catalogue(name, kind, config) or _of_table(model, kind, config)) is not None:
            return price
        return self._prices.get(kind)

    def _of_catalogue(self, name: str, kind: str, config: Config) -> Price | None:
        catalogue = config.memory.results.get("models")
        if not catalogue:
            return None
        entry = self._catalogues.get(id(catalogue))
        if entry is None or entry[0] is not catalogue:
            if len(self._catalogues) >= _MAX_CATALOGUES:
                self._catalogues.clear()
            entry = self._catalogues[id(catalogue)] = (catalogue, {str(each.id).lower(): each for each in catalogue})
        models = entry[1]
        model = models.get(name) or models.get((capabilities(name).alias_of or name).lower())
        return _of_pricing(getattr(model, "pricing", None), kind)


def _of_pricing(pricing: Any, kind: str) -> Price | None:
    """Returns the price that the catalogue gives. It has zeros for what it does not sell by the token."""
    if pricing is None:
        return None
    if kind in _CATALOGUE_UNITS:
        field, unit = _CATALOGUE_UNITS[kind]
        value = getattr(pricing, field, None)
        return {unit: float(value)} if isinstance(value, Real) and value else None
    if kind not in TOKEN_KINDS:
        return None
    fields: dict[str, Any] = {unit: getattr(pricing, unit, None) for unit in TOKEN_UNITS}
    fields = {unit: value for unit, value in fields.items() if isinstance(value, Real)}
    if not (fields.get("input") or fields.get("output")):
        return None
    if not fields.get("cached_input"):
        fields["cached_input"] = fields.get("input", 0.0)
    return {unit: float(value) for unit, value in fields.items()}


def _of_table(model: str, kind: str, config: Config) -> Price | None:
    """Returns the price of the table, which holds for the service of Together AI alone, and for models sold by the token."""
    return _table_price(model) if kind in TOKEN_KINDS and config.may_be_together else None


@lru_cache(maxsize=1024)
def _table_price(model: str) -> Price | None:
    prices = capabilities(model).prices
    if prices.input is None:
        return None
    cached = prices.input if prices.cached_input is None else prices.cached_input
    price = {"input": prices.input, "cached_input": cached}
    return price if prices.output is None else {**price, "output": prices.output}


def _valid_price(name: Any, price: Any) -> Price:
    """Returns a price of a user: a mapping, or the `Pricing` of the catalogue or the `Prices` of the table."""
    if not isinstance(price, Mapping):
        fields: Iterable[str] = UNITS
        values = {unit: getattr(price, unit, None) for unit in fields}
        price = {unit: value for unit, value in values.items() if value is not None}
    if unknown := price.keys() - UNITS:
        raise ConfigurationError(
            f"prices[{name!r}]: unknown unit {sorted(map(str, unknown))[0]!r}; units are {', '.join(sorted(UNITS))}"
        )
    for unit, value in price.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not isfinite(value) or value < 0:
            raise ConfigurationError(f"prices[{name!r}][{unit!r}] must be dollars, not {value!r}")
    if not price:
        raise ConfigurationError(f"prices[{name!r}] names no unit; units are {', '.join(sorted(UNITS))}")
    price = {unit: float(value) for unit, value in price.items()}
    return {"cached_input": price["input"], **price} if "input" in price else price
