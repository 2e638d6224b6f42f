"""`Together`: LangChain's completion model for Together AI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any, ClassVar

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM
from langchain_core.outputs import GenerationChunk, LLMResult
from pydantic import Field, field_validator

from langchain_together_adapters.errors import model_errors
from langchain_together_adapters.language_model import LanguageModel
from langchain_together_adapters.responses import CompletionWriter, llm_result, streamed_result
from together_adapters.resources.completions import complete, stream_completion
from together_adapters.transport.call import Flow, Parallel
from together_adapters.types.completions import CompletionParams


class Together(LanguageModel, BaseLLM):
    """Complete texts with the models of Together AI.

    Besides the attributes below it has those of `Sampling` (temperature, top_k, ...) and `Connection` (api_key, timeout, ...).

    Attributes:
        model_name: The name of the model or of a dedicated endpoint (alias `model`).
        suffix: The text after the completion, for models that fill in the middle.
        stream_usage: Whether streams report usage.
        stream_chunk_timeout: Seconds to wait for each chunk of a stream before an `APITimeoutError` ends it; None or 0 for no limit.
        max_concurrency: Maximum number of concurrent requests of one batch.

    Raises:
        ConfigurationError: There is neither a key nor a client.

    Example:
        ```python
        from langchain_together_adapters import Together

        llm = Together(model="mistralai/Mixtral-8x7B-v0.1", max_tokens=20)
        llm.invoke("The capital of France is")
        ```
    """

    _request_names: ClassVar[frozenset[str]] = frozenset(CompletionParams.__required_keys__ | CompletionParams.__optional_keys__)

    suffix: str | None = None
    max_concurrency: int = Field(default=8, ge=1)

    @field_validator("together_api_base")
    @classmethod
    def _strip_endpoint(cls, value: str | None) -> str | None:
        """Accept base URLs of `langchain-together`, which end with the endpoint."""
        return value.rstrip("/").removesuffix("/completions") if value else value

    @property
    def _llm_type(self) -> str:
        return "together"

    def _request(self, prompts: list[str], stop: list[str] | None, kwargs: Mapping[str, Any]) -> Flow[LLMResult]:
        """Describe the completion of several prompts, with concurrent requests."""
        params = self._request_params(stop, kwargs, stream=False)
        calls = [complete(**params, prompt=prompt).untyped() for prompt in prompts]
        responses = (yield Parallel(calls, self.max_concurrency)) if len(calls) != 1 else [(yield calls[0])]
        return llm_result(responses)

    def _stream_request(self, prompt: str, stop: list[str] | None, kwargs: Mapping[str, Any]) -> Any:
        call = dict(kwargs)
        chunk_timeout = call.pop("stream_chunk_timeout", self.stream_chunk_timeout)
        request = stream_completion(**self._request_params(stop, call, stream=True), prompt=prompt).untyped()
        return replace(request, chunk_timeout=chunk_timeout)

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        if kwargs.get("stream", self.streaming):
            return streamed_result([reduce(add, self._stream(prompt, stop, run_manager, **kwargs)) for prompt in prompts])
        with model_errors():
            result: LLMResult = self._clients.sync.perform(self._request(prompts, stop, kwargs))
            return result

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        if kwargs.get("stream", self.streaming):
            streams = [self._astream(prompt, stop, run_manager, **kwargs) for prompt in prompts]
            return streamed_result([reduce(add, [chunk async for chunk in stream]) for stream in streams])
        with model_errors():
            result: LLMResult = await self._clients.asynchronous.perform(self._request(prompts, stop, kwargs))
            return result

    def _stream(
        self, prompt: str, stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> Iterator[GenerationChunk]:
        writer = CompletionWriter()
        with model_errors(), self._clients.sync.perform(self._stream_request(prompt, stop, kwargs)) as stream:
            for chunk in stream:
                for generation in writer.feed(chunk):
                    if run_manager:
                        run_manager.on_llm_new_token(generation.text, chunk=generation, verbose=self.verbose)
                    yield generation
            yield writer.end()

    async def _astream(
        self, prompt: str, stop: list[str] | None = None, run_manager: AsyncCallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> AsyncIterator[GenerationChunk]:
        writer = CompletionWriter()
        with model_errors():
            async with await self._clients.asynchronous.perform(self._stream_request(prompt, stop, kwargs)) as stream:
                async for chunk in stream:
                    for generation in writer.feed(chunk):
                        if run_manager:
                            await run_manager.on_llm_new_token(generation.text, chunk=generation, verbose=self.verbose)
                        yield generation
                yield writer.end()
