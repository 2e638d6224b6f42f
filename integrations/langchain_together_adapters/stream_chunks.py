"""Parts of a streamed message to LangChain's chunks, with as few keywords as each needs: there is one for every token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_together_adapters.chat_response import ParseOptions
from langchain_together_adapters.metadata import usage_metadata
from langchain_together_adapters.stream_parser import Kind, StreamParser


class ChunkWriter:
    """Writes one streamed message as chunks. Usage, model and finish reason are on the last one alone."""

    def __init__(self, options: ParseOptions) -> None:
        self._parser = StreamParser(options)
        self._content_blocks = options.content_blocks

    def feed(self, chunk: Mapping[str, Any]) -> list[ChatGenerationChunk]:
        return [self._chunk(*part) for part in self._parser.feed(chunk)]

    def end(self) -> Iterator[ChatGenerationChunk]:
        for part in self._parser.end():
            yield self._chunk(*part)
        metadata = self._parser.metadata()
        message = AIMessageChunk(
            content=[] if self._content_blocks else "",
            response_metadata=metadata,
            usage_metadata=usage_metadata(self._parser.usage),
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=message, generation_info={"finish_reason": metadata["finish_reason"]})

    def _chunk(self, kind: Kind, value: Any, logprobs: dict[str, Any] | None) -> ChatGenerationChunk:
        message: AIMessageChunk
        if kind == "text":
            message = AIMessageChunk(content=[_text_block(value)] if self._content_blocks else value)
        elif kind == "tool_calls":
            message = AIMessageChunk(content=[] if self._content_blocks else "", tool_call_chunks=value)
        elif kind == "reasoning" and self._content_blocks:
            message = AIMessageChunk(content=[{"type": "reasoning", "reasoning": value, "index": "lc_rs_0"}])
        elif kind == "reasoning":
            message = AIMessageChunk(content="", additional_kwargs={"reasoning_content": value})
        else:
            message = AIMessageChunk(content=[] if self._content_blocks else "", additional_kwargs=value)
        if logprobs is None:
            return ChatGenerationChunk(message=message)
        return ChatGenerationChunk(message=message, generation_info={"logprobs": logprobs})


def _text_block(text: str) -> dict[str, Any]:
    """Return a block with an index of its own: LangChain would number it like the first tool call, and merge the two."""
    return {"type": "text", "text": text, "index": "lc_txt_0"}
