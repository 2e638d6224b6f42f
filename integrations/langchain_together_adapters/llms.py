"""`Together`: LangChain's completion model for Together AI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import reduce
from operator import add
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM, LangSmithParams
from langchain_core.outputs import GenerationChunk, LLMResult
from pydantic import ConfigDict, Field, field_validator

from langchain_together_adapters.completion_response import CompletionWriter, joined_result, llm_result
from langchain_together_adapters.connection import Connection
from langchain_together_adapters.errors import model_errors
from langchain_together_adapters.parameters import Sampling, request_params
from langchain_together_adapters.token_counts import estimated_ids
from together_adapters.resources.completions import complete, stream_completion
from together_adapters.transport.call import Flow, Parallel
from together_adapters.types.capabilities import DEFAULT_CHAT_MODEL
from together_adapters.types.completions import CompletionParams

_KNOWN = CompletionParams.__required_keys__ | CompletionParams.__optional_keys__
_SAMPLING = (
    "temperature", "max_tokens", "stop", "n", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "logit_bias", "seed", "logprobs", "top_logprobs", "echo", "safety_model", "response_format", "suffix",
)  # fmt: skip
_BEYOND = ("context_length_exceeded_behavior", "compliance")


class Together(Connection, Sampling, BaseLLM):
    """Go on from a text with the models of Together AI.

    Besides the attributes below it has those of `Sampling` (temperature, top_k, ...) and `Connection` (api_key, timeout, ...).

    Attributes:
        model_name: The model, or a dedicated endpoint (alias `model`).
        suffix: The text that follows the gap, for models that fill in the middle.
        stream_usage: Whether a stream is asked for its usage.
        max_concurrency: Most prompts of one batch that are sent at the same time.

    Raises:
        ConfigurationError: There is no key, and no client was given.

    Example:
        ```python
        from langchain_together_adapters import Together

        llm = Together(model="mistralai/Mixtral-8x7B-v0.1", max_tokens=20)
        llm.invoke("The capital of France is")
        ```
    """

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=(), arbitrary_types_allowed=True)

    model_name: str = Field(default=DEFAULT_CHAT_MODEL, alias="model")
    suffix: str | None = None
    stream_usage: bool = True
    max_concurrency: int = Field(default=8, ge=1)

    @field_validator("together_api_base")
    @classmethod
    def _without_endpoint(cls, value: str | None) -> str | None:
        """Take a base URL as users of `langchain-together` wrote it, with the endpoint at its end."""
        return value.rstrip("/").removesuffix("/completions") if value else value

    @property
    def model(self) -> str:
        """The model's name."""
        return self.model_name

    @property
    def _llm_type(self) -> str:
        return "together"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model": self.model_name,
            "model_name": self.model_name,
            "base_url": self._clients.config.base_url,
            "streaming": self.streaming,
            **self._sampling(_SAMPLING + _BEYOND),
            **self.model_kwargs,
            **({"extra_body": self.extra_body} if self.extra_body else {}),
        }

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Constructor arguments that no dump holds, and the variables that they are read from."""
        return {"together_api_key": "TOGETHER_API_KEY"}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether `langchain_core.load.dumpd` can write it; `langchain_together_adapters.load` reads it."""
        return True

    def _request(self, prompt: str, stop: list[str] | None, given: dict[str, Any], stream: bool) -> dict[str, Any]:
        given = dict(given)
        usage = given.pop("stream_usage", self.stream_usage)
        defaults = {"model": self.model_name, **self._sampling(_SAMPLING + _BEYOND)}
        params = request_params(defaults, self.model_kwargs, self.extra_body, given, stop, _KNOWN)
        if stream and usage:
            params["stream_options"] = {"include_usage": True, **(params.get("stream_options") or {})}
        return {**params, "prompt": prompt}

    def _ask(self, prompts: list[str], stop: list[str] | None, given: dict[str, Any]) -> Flow[LLMResult]:
        """Ask for the completion of each prompt, several at the same time."""
        calls = [complete(**self._request(prompt, stop, given, False)).untyped() for prompt in prompts]
        answers = (yield Parallel(calls, self.max_concurrency)) if len(calls) != 1 else [(yield calls[0])]
        return llm_result(answers)

    def _streams(self, given: dict[str, Any]) -> bool:
        return bool(given.get("stream", self.streaming))

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        if self._streams(kwargs):
            return joined_result([reduce(add, self._stream(prompt, stop, run_manager, **kwargs)) for prompt in prompts])
        with model_errors():
            result: LLMResult = self._clients.sync.perform(self._ask(prompts, stop, kwargs))
            return result

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        if self._streams(kwargs):
            streams = [self._astream(prompt, stop, run_manager, **kwargs) for prompt in prompts]
            return joined_result([reduce(add, [chunk async for chunk in stream]) for stream in streams])
        with model_errors():
            result: LLMResult = await self._clients.asynchronous.perform(self._ask(prompts, stop, kwargs))
            return result

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        writer = CompletionWriter()
        described = stream_completion(**self._request(prompt, stop, kwargs, True)).untyped()
        with model_errors(), self._clients.sync.perform(described) as events:
            for event in events:
                for chunk in writer.read(event):
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk, verbose=self.verbose)
                    yield chunk
            yield writer.end()

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        writer = CompletionWriter()
        described = stream_completion(**self._request(prompt, stop, kwargs, True)).untyped()
        with model_errors():
            async with await self._clients.asynchronous.perform(described) as events:
                async for event in events:
                    for chunk in writer.read(event):
                        if run_manager:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk, verbose=self.verbose)
                        yield chunk
                yield writer.end()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "together"
        if (own := stop or kwargs.get("stop") or self.stop) is not None:
            params["ls_stop"] = [own] if isinstance(own, str) else own
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Return `custom_get_token_ids(text)`, or as many numbers as the text is likely to have tokens, without a network."""
        return self.custom_get_token_ids(text) if self.custom_get_token_ids else estimated_ids(text)
