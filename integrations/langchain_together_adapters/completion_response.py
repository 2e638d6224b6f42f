"""Responses to plain prompts, single and streamed, to LangChain's results. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.outputs import Generation, GenerationChunk, LLMResult

from langchain_together_adapters.language_model import sum_usage
from langchain_together_adapters.metadata import chunk_logprobs, full_logprobs, response_metadata
from together_adapters.adapters.response_fields import choices_of


def llm_result(responses: Sequence[Mapping[str, Any]]) -> LLMResult:
    """Return the result of several prompts; `APIResponseValidationError` where a response holds no choice."""
    outputs = [{"token_usage": response.get("usage"), "model_name": response.get("model")} for response in responses]
    return _result([_generations(response) for response in responses], outputs)


def streamed_result(chunks: Sequence[GenerationChunk]) -> LLMResult:
    """Return the result of several prompts, each from the merged chunks of its stream."""
    generations = [[Generation(text=chunk.text, generation_info=chunk.generation_info)] for chunk in chunks]
    return _result(generations, [chunk.generation_info or {} for chunk in chunks])


def _result(generations: list[list[Generation]], outputs: list[Any]) -> LLMResult:
    return LLMResult(generations=generations, llm_output={"model_name": None, **sum_usage(outputs)})


def _generations(response: Mapping[str, Any]) -> list[Generation]:
    generations = []
    for number, choice in enumerate(choices_of(response)):
        info = response_metadata(response, choice, full_logprobs(choice.get("logprobs")))
        if number == 0:
            info["token_usage"] = response.get("usage") or {}
        generations.append(Generation(text=choice.get("text") or "", generation_info=info))
    return generations


class CompletionWriter:
    """Writes one streamed completion as chunks. Usage, model and finish reason are on the last one alone."""

    def __init__(self) -> None:
        self._response: dict[str, Any] = {}
        self._choice: dict[str, Any] = {}

    def feed(self, chunk: Mapping[str, Any]) -> list[GenerationChunk]:
        """Return the chunks for a chunk of the service."""
        choices = chunk.get("choices") or ()
        choice = choices[0] if choices else {}
        if not choice or choice.get("finish_reason") or chunk.get("usage") or not self._response:
            self._response.update({name: value for name, value in chunk.items() if value is not None and name != "choices"})
            self._choice.update({name: value for name, value in choice.items() if value is not None})
        delta = choice.get("delta") or {}
        text = delta.get("content") or choice.get("text") or (chunk.get("token") or {}).get("text") or ""
        logprobs = chunk_logprobs(choice, text, delta.get("token_id"))
        if not text and logprobs is None:
            return []
        return [GenerationChunk(text=text, generation_info=None if logprobs is None else {"logprobs": logprobs})]

    def end(self) -> GenerationChunk:
        """Return the chunk that ends the completion."""
        response = {name: value for name, value in self._response.items() if name not in ("token", "finish_reason")}
        reason = self._choice.get("finish_reason") or self._response.get("finish_reason")
        info = response_metadata(response, {**self._choice, "finish_reason": reason}, None)
        return GenerationChunk(text="", generation_info={**info, "token_usage": response.get("usage") or {}})
