"""Request parameters (TypedDicts), response models (pydantic) and facts about models. No I/O here."""

from typing import TYPE_CHECKING, Any


def old_type(name: str) -> Any:
    """Returns the class that the `together` 1.x SDK calls so, see `sdk_1.old_type`."""
    if not name[:1].isupper():  # such as those that importing a module asks for
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from together_adapters import sdk_1

    return sdk_1.old_type(name)


if not TYPE_CHECKING:
    __getattr__ = old_type
