"""Structured output: responses as objects of a pydantic model.

LlamaIndex's own programs lose the system prompt when they are asynchronous and do not require the tool when they stream.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Generator
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import Field
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.llms.llm import LLM
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel

from llama_index_together_adapters.output_modes import OutputMode, PartialObjects
from llama_index_together_adapters.refusals import raise_if_refused
from llama_index_together_adapters.structured_llm import StructuredTogetherLLM

dispatcher = get_dispatcher(__name__)


class OutputSession:
    """The conversation that leads to one object: the messages to send next, and the invalid responses that may be sent back."""

    def __init__(self, mode: OutputMode, messages: list[ChatMessage], retries: int) -> None:
        self.mode = mode
        self.messages = messages
        self.retries = retries

    def parse(self, response: ChatResponse) -> BaseModel | None:
        """Return the object of a response, or None to retry; `ValueError` where the last response is invalid, or a refusal."""
        raise_if_refused(response)
        try:
            return self.mode.parse(response)
        except ValueError as error:
            if self.retries < 1:
                raise
            self.retries -= 1
            self.messages = [*self.messages, *self.mode.correction(response, error)]
            return None


class StructuredOutput(LLM):
    """The part of `TogetherLLM` for structured output, with its field `validation_retries`."""

    validation_retries: int = Field(default=0, ge=0)

    @abstractmethod
    def _output_mode(self) -> type[OutputMode]:
        """Return how objects are requested."""

    def as_structured_llm(self, output_cls: type[BaseModel], **kwargs: Any) -> StructuredTogetherLLM:
        """Return an LLM whose responses are objects as JSON. With tools it calls them first, so that agents can use it.

        Args:
            output_cls: The pydantic model of the objects.
            **kwargs: Fields of the LLM, such as `system_prompt`.
        """
        return StructuredTogetherLLM(llm=self, output_cls=output_cls, **kwargs)

    def structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        """Return an object as the response to a prompt.

        Args:
            output_cls: The pydantic model of the object.
            prompt: The prompt template.
            llm_kwargs: Request parameters for this call, and `validation_retries`. Tools are left out: the response is an object.
            **prompt_args: The values of the template.

        Raises:
            TogetherError: The request failed.
            RefusedError: The model refused, or a content filter has stopped it; a refusal is not sent back.
            ValueError: The response is not such an object.
        """
        session, output = self._predict_session(output_cls, prompt, llm_kwargs, prompt_args), None
        while output is None:
            output = session.parse(self.chat(session.messages, **session.mode.kwargs))
        dispatcher.event(LLMStructuredPredictEndEvent(output=output))
        return output

    async def astructured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        """Return an object as the response to a prompt; see `structured_predict`."""
        session, output = self._predict_session(output_cls, prompt, llm_kwargs, prompt_args), None
        while output is None:
            output = session.parse(await self.achat(session.messages, **session.mode.kwargs))
        dispatcher.event(LLMStructuredPredictEndEvent(output=output))
        return output

    def _structured_stream_call(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Generator[Any, None, None]:
        session, output = self._session(output_cls, prompt, llm_kwargs, prompt_args), None
        while output is None:
            partial, responses = PartialObjects(session.mode), self.stream_chat(session.messages, **session.mode.kwargs)
            try:
                for response in responses:
                    if (snapshot := partial.feed(response)) is not None:
                        yield snapshot
            finally:
                responses.close()
            output = session.parse(partial.response)
        yield output

    async def _structured_astream_call(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AsyncGenerator[Any, None]:
        return self._astream_objects(self._session(output_cls, prompt, llm_kwargs, prompt_args))

    async def _astream_objects(self, session: OutputSession) -> AsyncGenerator[Any, None]:
        output = None
        while output is None:
            partial, responses = PartialObjects(session.mode), await self.astream_chat(session.messages, **session.mode.kwargs)
            try:
                async for response in responses:
                    if (snapshot := partial.feed(response)) is not None:
                        yield snapshot
            finally:
                await responses.aclose()
            output = session.parse(partial.response)
        yield output

    def _predict_session(self, output_cls: Any, prompt: Any, kwargs: Any, prompt_args: dict[str, Any]) -> OutputSession:
        dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args))
        return self._session(output_cls, prompt, kwargs, prompt_args)

    def _session(self, output_cls: Any, prompt: Any, kwargs: Any, prompt_args: dict[str, Any]) -> OutputSession:
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        call = dict(kwargs or {})
        retries = call.pop("validation_retries", self.validation_retries)
        mode = self._output_mode()(output_cls, call)
        return OutputSession(mode, mode.messages(messages), retries)
