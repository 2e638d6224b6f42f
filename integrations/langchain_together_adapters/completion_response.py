"""Completions of plain prompts on their way in, whole and streamed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.outputs import Generation, GenerationChunk, LLMResult

from langchain_together_adapters.metadata import piece_logprobs, response_metadata, whole_logprobs
from langchain_together_adapters.parameters import added
from together_adapters.errors import APIResponseValidationError


def llm_result(answers: Sequence[Mapping[str, Any]]) -> LLMResult:
    """Return LangChain's result of the answers to several prompts.

    Raises:
        APIResponseValidationError: An answer holds no choice.
    """
    usage: dict[str, Any] = {}
    for answer in answers:
        usage = added(usage, answer.get("usage") or {})
    model = next((answer["model"] for answer in answers if answer.get("model")), None)
    output = {"token_usage": usage, "model_name": model}
    return LLMResult(generations=[_generations(answer) for answer in answers], llm_output=output)


def _generations(answer: Mapping[str, Any]) -> list[Generation]:
    choices = answer.get("choices")
    if not choices:
        raise APIResponseValidationError("the completion cannot be used: it holds no choice", body=answer)
    found = []
    for place, choice in enumerate(choices):
        info = _info(answer, choice, choice.get("finish_reason"), whole_logprobs(choice.get("logprobs")))
        if place == 0:
            info["token_usage"] = answer.get("usage") or {}
        found.append(Generation(text=choice.get("text") or "", generation_info=info))
    return found


def _info(answer: Mapping[str, Any], choice: Mapping[str, Any], reason: str | None, logprobs: Any) -> dict[str, Any]:
    return response_metadata(answer, choice, reason, logprobs)


class CompletionWriter:
    """Writes one streamed completion as chunks. Usage, model and finish reason are on the last one alone."""

    def __init__(self) -> None:
        self._answer: dict[str, Any] = {}
        self._choice: dict[str, Any] = {}

    def read(self, event: Mapping[str, Any]) -> list[GenerationChunk]:
        """Return the chunks of an event."""
        choices = event.get("choices") or ()
        choice = choices[0] if choices else {}
        if not choice or choice.get("finish_reason") or event.get("usage") or not self._answer:
            self._answer.update({name: value for name, value in event.items() if value is not None and name != "choices"})
            self._choice.update({name: value for name, value in choice.items() if value is not None})
        delta = choice.get("delta") or {}
        text = delta.get("content") or choice.get("text") or (event.get("token") or {}).get("text") or ""
        logprobs = piece_logprobs(choice, text, delta.get("token_id"))
        if not text and logprobs is None:
            return []
        return [GenerationChunk(text=text, generation_info=None if logprobs is None else {"logprobs": logprobs})]

    def end(self) -> GenerationChunk:
        """Return the chunk that closes the completion."""
        answer = {name: value for name, value in self._answer.items() if name not in ("token", "finish_reason")}
        reason = self._choice.get("finish_reason") or self._answer.get("finish_reason")
        info = _info(answer, self._choice, reason, None)
        return GenerationChunk(text="", generation_info={**info, "token_usage": self._answer.get("usage") or {}})


def joined_result(generations: Sequence[GenerationChunk]) -> LLMResult:
    """Return the result of completions that were streamed one after the other."""
    infos = [generation.generation_info or {} for generation in generations]
    usage: dict[str, Any] = {}
    for info in infos:
        usage = added(usage, info.get("token_usage") or {})
    plain = [[Generation(text=made.text, generation_info=made.generation_info)] for made in generations]
    model = next((info["model_name"] for info in infos if info.get("model_name")), None)
    return LLMResult(generations=plain, llm_output={"token_usage": usage, "model_name": model})
