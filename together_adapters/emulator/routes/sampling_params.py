"""What chat and text completions share: sampling parameters, and the chunks of a streamed text."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from together_adapters.emulator import generation
from together_adapters.emulator.conversation import Scores
from together_adapters.emulator.errors import ApiError, bad_request, unprocessable
from together_adapters.emulator.http.behaviour import Behaviour
from together_adapters.emulator.http.routing import RequestContext, RequestModel
from together_adapters.emulator.remote.answers import AnswerForm
from together_adapters.emulator.routes.served_models import check_safety_model
from together_adapters.emulator.text.features import token_id, tokenize
from together_adapters.types.capabilities import Capabilities

EOS_TOKEN: int = 128_009


class SamplingRequest(RequestModel):
    """Parameters of both kinds of completions. Many are only validated: they change nothing here."""

    other_fields: ClassVar[frozenset[str]] = frozenset({"model", "compliance"})
    lenient_only: ClassVar[frozenset[str]] = frozenset({"max_completion_tokens"})  # which is OpenAI's name
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stop: str | list[str] | None = Field(None, description="a string or an array of strings")
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = None
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, Any] | None = None
    seed: int | None = None
    n: int = Field(1, ge=1, le=128)
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    logprobs: bool | Annotated[int, Field(ge=0, le=20)] = Field(False, description="a boolean or a whole number up to 20")
    top_logprobs: int = Field(0, ge=0, le=20)
    echo: bool = False
    safety_model: str | None = None
    reasoning: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    tools: list[Any] | None = None
    tool_choice: str | dict[str, Any] | None = Field(None, description="a string or an object")
    context_length_exceeded_behavior: Literal["truncate", "error"] = "error"

    @classmethod
    def read_with_limit(
        cls, context: RequestContext, facts: Capabilities, prompt_tokens: int
    ) -> tuple[SamplingRequest, int | None]:
        """Validates the parameters of a request; returns them, and how many tokens may be generated."""
        params = cls.read(context)
        check_safety_model(context, params.safety_model)
        if params.stream and params.n > 1:
            raise bad_request("n must be 1 when streaming.", param="n")
        max_tokens = params.max_tokens or params.max_completion_tokens
        tokens_left = facts.context_length - prompt_tokens
        if tokens_left >= (max_tokens or 1):
            return params, max_tokens
        if params.context_length_exceeded_behavior == "truncate" and tokens_left >= 1:
            return params, tokens_left
        error = bad_request(
            f"Input validation error: `inputs` tokens + `max_new_tokens` may be {facts.context_length} at most, the model's "
            f"context length; this request has {prompt_tokens} `inputs` tokens and {max_tokens or 0} `max_new_tokens`"
        )
        refusal = context.state.record.error("context-length", error)
        if refusal is None:
            return params, max(tokens_left, 1)
        raise refusal

    @property
    def stop_sequences(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def logprob_count(self) -> int | None:
        """How many log-probabilities to return per token; None for none."""
        if self.logprobs is False or (self.logprobs == 0 and self.logprobs is not True):
            return None
        return max(self.top_logprobs, int(self.logprobs))

    def seed_of_response(self, behaviour: Behaviour) -> int:
        """Returns the seed that the response reports."""
        return self.seed if self.seed is not None else generation.BIG_SEED if behaviour.seed_above_int64 else 7

    def echoed_prompt(self, prompt: str, logprobs: int | None) -> list[dict[str, Any]]:
        """Returns the prompt as `echo` adds it to a response."""
        if not self.echo:
            return []
        if logprobs is None:
            return [{"text": prompt}]
        scores = generation.together_logprobs(tokenize(prompt), logprobs)
        return [{"text": prompt, "logprobs": scores | {"token_logprobs": [None, *scores["token_logprobs"][1:]]}}]

    def has_usage(self, behaviour: Behaviour) -> bool:
        position = behaviour.usage
        is_requested = bool((self.stream_options or {}).get("include_usage"))
        return position in ("finish", "separate") or (is_requested and position.startswith("asked"))

    def answer_form(
        self,
        context: RequestContext,
        model: str,
        prompt_tokens: int,
        prompt: str,
        logprobs: Literal["openai", "together"],
        reasoning: str = "none",
    ) -> AnswerForm:
        """Returns the form that the answer of an engine is given."""
        return AnswerForm(
            context.id,
            int(time.time()),
            model,
            self.seed_of_response(context.behaviour),
            self.echoed_prompt(prompt, None),
            prompt_tokens,
            None if self.logprob_count is None else logprobs,
            reasoning,
            context.behaviour,
        )

    @staticmethod
    def api_error(message: str, param: str) -> ApiError:
        """Returns the error response for a parameter."""
        return unprocessable(message, param=param)


def text_deltas(
    tokens: list[str], behaviour: Behaviour, logprobs: int | None, logprobs_format: str, scores: Scores = ()
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yields the deltas of a streamed text, each with further fields of its choice."""
    if logprobs is None:
        for text in _chunks(tokens, behaviour.pieces, behaviour.chunk_tokens):
            yield {"content": text, "token_id": token_id(text) if behaviour.echo_ids else None}, {}
        return
    for index, token in enumerate(tokens):
        fields: dict[str, Any] = {"logprobs": generation.logprob(token, index, scores)}
        if logprobs_format == "openai":
            fields = {"logprobs": generation.openai_logprobs([token], logprobs, index, scores)}
        elif logprobs > 1:
            fields["top_logprobs"] = generation.top_logprobs(token, index, logprobs, scores)
        yield {"content": token, "token_id": token_id(token) if behaviour.echo_ids else None}, fields


def _chunks(tokens: list[str], max_length: int | None, count: int) -> Iterator[str]:
    """Yields the texts of chunks: of `max_length` characters if that is given, otherwise of `count` tokens."""
    if max_length is not None:
        text = "".join(tokens)
        yield from (text[start : start + max_length] for start in range(0, len(text), max_length))
    elif count == 1:
        yield from tokens
    else:
        yield from ("".join(tokens[start : start + count]) for start in range(0, len(tokens), count))


def logprobs_of(tokens: list[str], logprobs: int | None, logprobs_format: str, scores: Scores = ()) -> dict[str, Any] | None:
    """Returns the log-probabilities of a choice."""
    if logprobs is None:
        return None
    if logprobs_format == "openai":
        return generation.openai_logprobs(tokens, logprobs, scores=scores)
    return generation.together_logprobs(tokens, logprobs, scores)
