"""Pieces of a streamed answer as LangChain's chunks, with as few keywords as each needs: they are built for every token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_together_adapters.chat_response import Manner
from langchain_together_adapters.metadata import usage_metadata
from langchain_together_adapters.stream_parser import Kind, StreamedAnswer


class ChunkWriter:
    """Writes one streamed answer as chunks. Usage, model and finish reason are on the last one alone."""

    def __init__(self, manner: Manner) -> None:
        self._answer = StreamedAnswer(manner)
        self._blocks = manner.blocks

    def read(self, event: Mapping[str, Any]) -> list[ChatGenerationChunk]:
        """Return the chunks of an event."""
        return [self._chunk(*piece) for piece in self._answer.read(event)]

    def end(self) -> Iterator[ChatGenerationChunk]:
        """Return the chunks that close the message."""
        for piece in self._answer.end():
            yield self._chunk(*piece)
        told = self._answer.metadata()
        message = AIMessageChunk(
            content=[] if self._blocks else "",
            response_metadata=told,
            usage_metadata=usage_metadata(self._answer.usage),
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=message, generation_info={"finish_reason": told["finish_reason"]})

    def _chunk(self, kind: Kind, value: Any, logprobs: dict[str, Any] | None) -> ChatGenerationChunk:
        message: AIMessageChunk
        if kind == "text":
            message = AIMessageChunk(content=[_text_block(value)] if self._blocks else value)
        elif kind == "calls":
            message = AIMessageChunk(content=[] if self._blocks else "", tool_call_chunks=value)
        elif kind == "reasoning" and self._blocks:
            message = AIMessageChunk(content=[{"type": "reasoning", "reasoning": value, "index": "lc_rs_0"}])
        elif kind == "reasoning":
            message = AIMessageChunk(content="", additional_kwargs={"reasoning_content": value})
        else:
            message = AIMessageChunk(content=[] if self._blocks else "", additional_kwargs=value)
        if logprobs is None:
            return ChatGenerationChunk(message=message)
        return ChatGenerationChunk(message=message, generation_info={"logprobs": logprobs})


def _text_block(text: str) -> dict[str, Any]:
    """A block with an index of its own: LangChain would number it like the first tool call, and merge the two."""
    return {"type": "text", "text": text, "index": "lc_txt_0"}
