"""Chats and completions with tuned models. These routes stand before the common ones and hand on what is not theirs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from together_adapters.emulator.engine.nearest_example import NearestExampleModel, TrainingExample, image_urls
from together_adapters.emulator.engine.responder import ModelReply
from together_adapters.emulator.http.errors import model_not_available
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.http.sse import EventStream
from together_adapters.emulator.routes import chat, completions
from together_adapters.emulator.store.fine_tune_job import FineTune, by_output
from together_adapters.types.capabilities import capabilities

_LONGEST: Final = 1_500
"""Characters of a learnt answer that a plain completion gives."""


def chat_complete(context: RequestContext) -> dict[str, Any] | EventStream:
    """Answer a chat: from a tuned model's rows if one of them is near, else as any model would."""
    job = _tuned(context)
    if job is None:
        return chat.complete(context)
    exchange = chat._understand(context)
    example = _nearest_example_model(context, job).nearest(exchange.conversation.prompt, _shown(context))
    if example is not None and not exchange.conversation.tool_results:
        place = chat._reasoning_place(context, capabilities(job.base)) if example.reasoning else "none"
        generations = [_generation(context, exchange, example, place)] * exchange.parameters.n
        exchange = replace(exchange, generations=generations, reasoning_field=place)
    if exchange.parameters.stream:
        return EventStream(chat._chunks(exchange), context.behaviour.delay)
    return chat._whole(exchange)


def _shown(context: RequestContext) -> tuple[str, ...]:
    """The pictures of the last question."""
    asked = [message.get("content") for message in context.body["messages"] if message["role"] == "user"]
    return image_urls(asked[-1]) if asked else ()


def _generation(context: RequestContext, exchange: chat.Exchange, example: TrainingExample, place: str) -> Any:
    reasoning = "" if place == "none" else example.reasoning
    return chat._generation(
        context, exchange.parameters, ModelReply(example.answer, example.tool_calls, verbatim=True), reasoning, place
    )


def complete(context: RequestContext) -> dict[str, Any] | EventStream:
    """Continue a prompt, likewise."""
    job = _tuned(context)
    prompt = context.body.get("prompt")
    if job is None or not isinstance(prompt, str):
        return completions.complete(context)
    example = _nearest_example_model(context, job).nearest(prompt)
    if example is None or not example.answer:
        return completions.complete(context)
    # A text that is fixed word by word is a pattern that only it fits.
    wanted = {"type": "regex", "pattern": re.escape(example.answer[:_LONGEST])}
    return completions.complete(replace(context, body={**context.body, "response_format": wanted}))


def _tuned(context: RequestContext) -> FineTune | None:
    """The job that made the model which is asked.

    Raises:
        ApiError: It is not done.
    """
    name = context.body.get("model")
    job = by_output(context, name) if isinstance(name, str) else None
    if job is not None and job.status() != "completed":
        raise model_not_available(str(name))
    return job


def answer_of(context: RequestContext, model: str, question: str) -> str | None:
    """What a tuned model says to a question; None where the model is not tuned, or knows nothing near."""
    job = by_output(context, model)
    example = _nearest_example_model(context, job).nearest(question) if job and job.status() == "completed" else None
    return example.answer if example else None


def _nearest_example_model(context: RequestContext, job: FineTune) -> NearestExampleModel:
    models: dict[str, NearestExampleModel] = context.state.shelf.setdefault("nearest_example_models", {})
    if job.id not in models:
        models[job.id] = NearestExampleModel(job.data.rows)
    return models[job.id]


ROUTES: Any = [json_route("/v1/chat/completions", chat_complete), json_route("/v1/completions", complete)]
