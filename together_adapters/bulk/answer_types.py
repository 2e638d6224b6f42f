"""The classes that chats of a run have as `response_format`: as schemas in the requests, as objects in the results."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

from together_adapters.bulk.outcomes import AnswerParser
from together_adapters.resources.batches import CHAT


class AnswerTypes:
    """Parsers of answers by the index of the input. They are not part of a checkpoint: each start has the classes in its inputs."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._parsers = [AnswerParser(endpoint)]
        self._numbers: dict[Any, int] = {}  # of parsers, by class
        self._of_inputs = array("I")

    def add(self, index: int, body: Any) -> Any:
        """Returns a body with schemas in place of classes and functions, and notes the class of its answer; a ValueError if there is none."""
        if self._endpoint != CHAT or not isinstance(body, Mapping):
            return body
        from together_adapters.resources.python_types.bodies import json_body

        try:
            body, kind = json_body(body)
        except TypeError as error:
            raise ValueError(f": {error}") from None
        if kind is not None:
            if kind not in self._numbers:
                self._numbers[kind] = len(self._parsers)
                self._parsers.append(AnswerParser(self._endpoint, kind))
            self._of_inputs.extend(array("I", [0]) * (index - len(self._of_inputs)))
            self._of_inputs.append(self._numbers[kind])
        return body

    def parser(self, index: int) -> AnswerParser:
        """Returns the parser of an input's answer."""
        return self._parsers[self._of_inputs[index] if index < len(self._of_inputs) else 0]

    def parsers(self, start: int, count: int) -> Iterable[AnswerParser]:
        """Returns the parsers of the answers to some inputs."""
        if not self._of_inputs:
            return repeat(self._parsers[0])
        return map(self.parser, range(start, start + count))
