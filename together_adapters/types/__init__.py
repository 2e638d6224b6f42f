"""Request parameters (TypedDicts), response models (pydantic) and facts about models. No I/O here."""

from typing import TYPE_CHECKING

from together_adapters.sdk_1 import old_type

if not TYPE_CHECKING:
    __getattr__ = old_type
