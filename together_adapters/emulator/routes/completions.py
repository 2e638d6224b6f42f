"""`POST /v1/completions`: the continuation of a prompt."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from together_adapters.emulator.engine import responder
from together_adapters.emulator.engine.responder import ModelReply
from together_adapters.emulator.errors import bad_request
from together_adapters.emulator.generation import Generation, truncate, usage
from together_adapters.emulator.http.answers import Answer
from together_adapters.emulator.http.engine_calls import CompletionCall
from together_adapters.emulator.http.responses import EventStream
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.routes.sampling_params import EOS_TOKEN, SamplingRequest, logprobs_of, text_deltas
from together_adapters.emulator.routes.served_models import find_served_model
from together_adapters.emulator.text.features import count_tokens

_MAX_TUNED_ANSWER: Final = 1_500  # characters of the answer of a fine-tuned model


class _CompletionRequest(SamplingRequest):
    prompt: Any = None


def complete(context: RequestContext) -> dict[str, Any] | EventStream | CompletionCall:
    """Answers a completion request."""
    model, facts = find_served_model(context)
    behaviour = context.behaviour
    prompt = _prompt(context.body.get("prompt"))
    prompt_tokens = count_tokens(prompt)
    params, max_tokens = _CompletionRequest.read_with_limit(context, facts, prompt_tokens)
    context.charge.admit("completion", model, facts, prompt_tokens)
    answer = context.answer("completions")
    example = None if answer else _nearest_example(context, model, prompt)
    if answer is None and example is None and "completions" in context.state.remote:
        form = params.answer_form(context, model, prompt_tokens, prompt, "together")
        return CompletionCall(context, "completions", form, params.n, params.has_usage(behaviour))
    generations = _generations(context, params, max_tokens, prompt, answer or example)
    completion_tokens = sum(len(generation.tokens) for generation in generations)
    counts = usage(prompt_tokens, completion_tokens, 0, 0, behaviour.cached_tokens == "nested")
    counts = answer.with_counts(counts) if answer else counts
    context.charge.count(counts, params.stream)
    head = {"id": context.id, "created": int(time.time()), "model": model}
    if params.stream:
        return EventStream(_chunks(context, params, generations[0], head, counts), behaviour.delay)
    return {
        **head,
        "object": "text.completion",
        "prompt": params.echoed_prompt(prompt, params.logprob_count),
        "choices": [
            {
                "index": index,
                "text": generation.text,
                "finish_reason": generation.finish_reason,
                "seed": params.seed_of_response(behaviour),
                "logprobs": logprobs_of(generation.tokens, params.logprob_count, behaviour.logprobs, generation.scores),
            }
            for index, generation in enumerate(generations)
        ],
        "usage": counts,
    }


def _generations(
    context: RequestContext, params: SamplingRequest, max_tokens: int | None, prompt: str, reply: Answer | ModelReply | None
) -> list[Generation]:
    """Returns the continuations: the reply that a test has set as it is, that of a fine-tuned model, or that of the rules."""
    stop, finish = params.stop_sequences, context.behaviour.finish
    if isinstance(reply, Answer):
        tokens, reason = truncate(reply.content, stop, max_tokens, finish, reply.tokens)
        return [Generation(tokens, reply.finish_reason or reason, scores=reply.logprobs)] * params.n
    reply = reply or responder.respond_to_prompt(prompt, context.body)
    # The first token of a continuation usually begins with a space.
    space = "" if not prompt or prompt[-1].isspace() else " "
    texts = [space + reply.variant(index).text for index in range(params.n)]
    return [Generation(*truncate(text, stop, max_tokens, finish)) for text in texts]


def _nearest_example(context: RequestContext, model: str, prompt: str) -> ModelReply | None:
    """Returns the continuation by the nearest example of a fine-tuned model, if there is one."""
    jobs = context.stores.jobs
    job = jobs.of_model(model)
    example = jobs.nearest_example(job, prompt) if job else None
    return ModelReply(example.answer[:_MAX_TUNED_ANSWER], verbatim=True) if example and example.answer else None


def _prompt(prompt: Any) -> str:
    if prompt is None:
        raise bad_request("Input required: prompt is missing.", param="prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise bad_request("Invalid JSON data: prompt must be one string.", param="prompt")
    return prompt


def _chunks(
    context: RequestContext, params: SamplingRequest, generation: Generation, head: dict[str, Any], counts: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    behaviour = context.behaviour
    envelope = {**head, "object": "completion.chunk", "usage": None}
    texts = context.charge.output["text"]

    def chunk(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
        delta = {"role": "assistant", **delta}
        choice = {
            "index": 0, "text": delta["content"], "logprobs": None, "finish_reason": finish, "seed": None, "delta": delta,
        } | fields  # fmt: skip
        return {**envelope, "choices": [choice]}

    for delta, fields in text_deltas(generation.tokens, behaviour, params.logprob_count, behaviour.logprobs, generation.scores):
        yield chunk(delta, **fields)
        texts.append(delta["content"])
    usage = counts if params.has_usage(behaviour) else None
    seed = params.seed_of_response(behaviour)
    last = chunk({"content": "", "token_id": EOS_TOKEN}, generation.finish_reason, seed=seed)
    if behaviour.usage not in ("separate", "asked-separate"):
        yield {**last, "usage": usage}
        context.charge.is_complete = True
        return
    yield last
    context.charge.is_complete = True
    if usage:
        yield {**envelope, "choices": [], "usage": usage}


ROUTES: Any = [json_route("/v1/completions", complete)]
