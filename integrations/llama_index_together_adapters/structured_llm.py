"""The LLM of objects that `TogetherLLM.as_structured_llm` returns: one that agents can use, too.

Core's class has no methods for tools. This one asks with the tools first, and returns the response if it calls one; once it calls
none, the object is asked for, without tools.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, closing
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ChatResponseAsyncGen, ChatResponseGen, MessageRole
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from llama_index_together_adapters.refusals import raise_if_refused
from llama_index_together_adapters.tool_calls import tool_selections


class StructuredTogetherLLM(StructuredLLM, FunctionCallingLLM):  # pyright: ignore[reportIncompatibleMethodOverride]
    """A `TogetherLLM` whose responses are objects as JSON, or calls of the tools that a call of it has."""

    llm: Any

    def as_structured_llm(self, output_cls: type[BaseModel], **kwargs: Any) -> StructuredTogetherLLM:
        """Return an LLM for other objects."""
        structured: StructuredTogetherLLM = self.llm.as_structured_llm(output_cls, **kwargs)
        return structured

    def chat(self, messages: Iterable[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return an object as JSON, or the response that calls tools; see `TogetherLLM.chat` and `structured_predict`."""
        messages = list(messages)
        response: ChatResponse | None = self.llm.chat(messages, **kwargs) if kwargs.get("tools") else None
        if response is None or _needs_object(response):
            response = super().chat(messages, **kwargs)
        return response

    async def achat(self, messages: Iterable[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return an object as JSON, or the response that calls tools; see `chat`."""
        messages = list(messages)
        response: ChatResponse | None = await self.llm.achat(messages, **kwargs) if kwargs.get("tools") else None
        if response is None or _needs_object(response):
            response = await super().achat(messages, **kwargs)
        return response

    def stream_chat(self, messages: Iterable[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Stream an object as JSON, or the response that calls tools; see `chat`."""
        messages, draft = list(messages), _Draft()
        if kwargs.get("tools"):
            with closing(self.llm.stream_chat(messages, **kwargs)) as responses:
                for response in responses:
                    yield from draft.feed(response)
        if draft.needs_object:
            yield from self._stream_objects(messages, **kwargs)

    async def astream_chat(self, messages: Iterable[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Stream an object as JSON, or the response that calls tools; see `chat`."""
        return self._astream(list(messages), kwargs)

    async def _astream(self, messages: list[ChatMessage], kwargs: dict[str, Any]) -> AsyncGenerator[ChatResponse, None]:
        draft = _Draft()
        if kwargs.get("tools"):
            async with aclosing(await self.llm.astream_chat(messages, **kwargs)) as responses:
                async for response in responses:
                    for item in draft.feed(response):
                        yield item
        if draft.needs_object:
            async for response in await self._astream_objects(messages, **kwargs):
                yield response

    @llm_chat_callback()
    def _stream_objects(self, messages: list[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        prompt = ChatPromptTemplate(message_templates=messages)
        outputs = self.llm.stream_structured_predict(self.output_cls, prompt, llm_kwargs=kwargs)
        return (_object_response(output) for output in outputs)

    @llm_chat_callback()
    async def _astream_objects(self, messages: list[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        prompt = ChatPromptTemplate(message_templates=messages)
        outputs = await self.llm.astream_structured_predict(self.output_cls, prompt, llm_kwargs=kwargs)
        return (_object_response(output) async for output in outputs)

    def _prepare_chat_with_tools(self, tools: Sequence[Any], *args: Any, tool_required: bool = False, **kwargs: Any) -> Any:
        return self.llm._prepare_chat_with_tools(tools, *args, tool_required=tool_required, **kwargs)

    def _validate_chat_with_tools_response(self, response: ChatResponse, tools: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        return self.llm._validate_chat_with_tools_response(response, tools, *args, **kwargs)

    def get_tool_calls_from_response(self, response: ChatResponse, *args: Any, **kwargs: Any) -> list[ToolSelection]:
        """Return the tool calls of a response; see `TogetherLLM.get_tool_calls_from_response`."""
        calls: list[ToolSelection] = self.llm.get_tool_calls_from_response(response, *args, **kwargs)
        return calls


def _object_response(output: BaseModel) -> ChatResponse:
    """Return an object as a response; core does so by a method that pydantic has deprecated."""
    return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=output.model_dump_json()), raw=output)


def _calls_tool(response: ChatResponse) -> bool:
    return bool(tool_selections(response.message))


def _needs_object(draft: ChatResponse | None) -> bool:
    """Whether the object is to be asked for after the response to a request with tools; `RefusedError` if that is a refusal."""
    if draft is None:
        return True
    if _calls_tool(draft):
        return False
    raise_if_refused(draft)
    return True


class _Draft:
    """Keeps the responses of a stream back until one calls a tool: text without calls is not the answer."""

    def __init__(self) -> None:
        self._calls_tool = False
        self._responses: list[ChatResponse] = []

    def feed(self, response: ChatResponse) -> list[ChatResponse]:
        """Return the responses so far, once there is a call."""
        self._responses.append(response)
        self._calls_tool = self._calls_tool or _calls_tool(response)
        if not self._calls_tool:
            return []
        responses, self._responses = self._responses, []
        return responses

    @property
    def needs_object(self) -> bool:
        """Whether the object is to be asked for, now that the stream has ended; see `_needs_object`."""
        return not self._calls_tool and _needs_object(self._responses[-1] if self._responses else None)
