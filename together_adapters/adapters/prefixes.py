"""The prefixes that embedding models want before queries and documents, for both integrations."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from together_adapters.types.capabilities import capabilities, is_known

Role = Literal["query", "document"]


def prefix_of(model: str, setting: str | None, role: Role, field: str) -> str:
    """Returns the prefix that a setting means: the text itself, or for `auto` the one in the table of models.

    For a model that is not in the table, `auto` adds nothing and warns once; `field` is the name of the setting.
    """
    if setting != "auto":
        return setting or ""
    if not is_known(model):
        _warn_unknown(model, field)
    facts = capabilities(model)
    return facts.query_prefix if role == "query" else facts.document_prefix


@lru_cache(maxsize=256)
def _warn_unknown(model: str, field: str) -> None:
    from together_adapters.transport.config import warn_user

    warn_user(
        f'{field}="auto" adds nothing, because the prefixes of {model} are not known: set {field} to the text that its authors '
        f'recommend, such as "query: " or "passage: ", or to None'
    )
