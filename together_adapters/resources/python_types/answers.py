"""Answers whose text is an object of a class."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import PrivateAttr, ValidationError

from together_adapters.resources.python_types.schemas import type_adapter, type_name
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.chat import ChatCompletion


class TypedChatCompletion(ChatCompletion):
    """A chat completion that was asked for with a class as `response_format`."""

    _kind: Any = PrivateAttr(None)

    @property
    def parsed(self) -> Any:
        """The text of the first choice as an object of that class.

        Raises:
            ValueError: The model refused, the text was cut, or it does not follow the class; the message says which.
        """
        choice = self.choices[0]
        message = choice.message
        if message is not None and message.refusal:
            raise ValueError(f"the model refused: {message.refusal}")
        text = (message.content if message is not None else choice.text) or ""
        try:
            return type_adapter(self._kind).validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            cut = ", and the text was cut: raise max_tokens" if choice.finish_reason == "length" else ""
            raise ValueError(
                f"the answer is no {type_name(self._kind)}: {place + ': ' if place else ''}{first['msg']}{cut}; it is {text!r:.200}"
            ) from error


@cache
def _parser() -> ResponseParser[TypedChatCompletion]:
    return ResponseParser(TypedChatCompletion)


class TypedParser:
    """Parses responses as `TypedChatCompletion`s of a class."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self.dict = _parser().dict

    def __call__(self, response: Any) -> TypedChatCompletion:
        completion = _parser()(response)
        completion._kind = self._kind
        return completion
