"""The catalogue of models."""

from __future__ import annotations

from typing import Any

from together_adapters.types.answer import Answer


class Pricing(Answer):
    """US dollars per million tokens; `hourly` per hour."""

    hourly: float | None = None
    input: float | None = None
    output: float | None = None
    base: float | None = None
    finetune: float | None = None
    cached_input: float | None = None


class ModelObject(Answer):
    """One model of the catalogue. `type` is chat, language, code, image, embedding, moderation, rerank, audio or a newer word."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    type: str | None = None
    display_name: str | None = None
    organization: str | None = None
    link: str | None = None
    license: str | None = None
    context_length: int | None = None
    pricing: Pricing | None = None


class ModelList(list[ModelObject]):
    """A plain list, as the `together` 1.x SDK returns it, that also answers to `.data`."""

    @property
    def data(self) -> list[ModelObject]:
        """The list itself, under the name that OpenAI's clients use."""
        return self

    def model_dump(self, **kwargs: Any) -> list[dict[str, Any]]:
        """Return every model as a dict."""
        return [model.model_dump(**kwargs) for model in self]
