"""Structured output: an answer in the shape of a pydantic model.

LlamaIndex's own programs lose the system prompt when they are asynchronous and do not insist on the tool when they stream.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import Field
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.llms.llm import LLM
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel

from llama_index_together_adapters.output_modes import Plan, plan_for
from llama_index_together_adapters.partial_objects import Partials

dispatcher = get_dispatcher(__name__)


class Quest:
    """The way to one object: what to send next, until an answer fits.

    Attributes:
        plan: How the object is asked for and read.
        messages: What to send.
        retries: How many more answers that do not fit are sent back.
    """

    def __init__(self, plan: Plan, messages: list[ChatMessage], retries: int) -> None:
        self.plan = plan
        self.messages = messages
        self.retries = retries

    def read(self, response: ChatResponse) -> BaseModel | None:
        """Return the object of an answer, or None where the model is to be asked again.

        Raises:
            ValueError: The answer is not such an object, and it was the last.
        """
        try:
            return self.plan.read(response)
        except ValueError as problem:
            if self.retries < 1:
                raise
            self.retries -= 1
            self.messages = [*self.messages, *self.plan.correction(response, problem)]
            return None


class StructuredOutput(LLM):
    """The structured half of `TogetherLLM`.

    Attributes:
        validation_retries: How often an answer that is not such an object is sent back to the model, with what is wrong.
    """

    validation_retries: int = Field(default=0, ge=0)

    def structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        """Answer a prompt with an object.

        Args:
            output_cls: The pydantic model that the answer must fit.
            prompt: The prompt's template.
            llm_kwargs: Request parameters for this call, and `validation_retries`.
            **prompt_args: What fills the template.

        Raises:
            TogetherError: No answer came.
            ValueError: The answer is not such an object.
        """
        quest, found = self._begin(output_cls, prompt, llm_kwargs, prompt_args), None
        while found is None:
            found = quest.read(self.chat(quest.messages, **quest.plan.kwargs))
        return _ended(found)

    async def astructured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        """Answer a prompt with an object, as `structured_predict` does."""
        quest, found = self._begin(output_cls, prompt, llm_kwargs, prompt_args), None
        while found is None:
            found = quest.read(await self.achat(quest.messages, **quest.plan.kwargs))
        return _ended(found)

    def _structured_stream_call(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Generator[Any, None, None]:
        quest, found = self._ask(output_cls, prompt, llm_kwargs, prompt_args), None
        while found is None:
            partials, responses = Partials(quest.plan), self.stream_chat(quest.messages, **quest.plan.kwargs)
            try:
                for response in responses:
                    if (so_far := partials.add(response)) is not None:
                        yield so_far
            finally:
                responses.close()
            found = quest.read(partials.whole)
        yield found

    async def _structured_astream_call(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AsyncGenerator[Any, None]:
        return self._astream_objects(self._ask(output_cls, prompt, llm_kwargs, prompt_args))

    async def _astream_objects(self, quest: Quest) -> AsyncGenerator[Any, None]:
        found = None
        while found is None:
            partials, responses = Partials(quest.plan), await self.astream_chat(quest.messages, **quest.plan.kwargs)
            try:
                async for response in responses:
                    if (so_far := partials.add(response)) is not None:
                        yield so_far
            finally:
                await responses.aclose()
            found = quest.read(partials.whole)
        yield found

    def _begin(self, output_cls: Any, prompt: Any, kwargs: Any, prompt_args: dict[str, Any]) -> Quest:
        dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args))
        return self._ask(output_cls, prompt, kwargs, prompt_args)

    def _ask(self, output_cls: Any, prompt: Any, kwargs: Any, prompt_args: dict[str, Any]) -> Quest:
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        given = dict(kwargs or {})
        retries = given.pop("validation_retries", self.validation_retries)
        plan = plan_for(self, output_cls, given)  # type: ignore[arg-type]
        return Quest(plan, plan.messages(messages), retries)


def _ended(found: BaseModel) -> BaseModel:
    dispatcher.event(LLMStructuredPredictEndEvent(output=found))
    return found
