"""Chats and completions with tuned models. These routes stand before the common ones and hand on what is not theirs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from together_adapters.emulator.app import Ask, json_route
from together_adapters.emulator.engine.nearest_example import NearestExampleModel, TrainingExample, image_urls
from together_adapters.emulator.engine.responder import ModelReply
from together_adapters.emulator.http.errors import model_not_available
from together_adapters.emulator.http.sse import EventStream
from together_adapters.emulator.routes import chat, completions
from together_adapters.emulator.store.fine_tune_job import FineTune, by_output
from together_adapters.types.capabilities import capabilities

_LONGEST: Final = 1_500
"""Characters of a learnt answer that a plain completion gives."""


def chat_complete(ask: Ask) -> dict[str, Any] | EventStream:
    """Answer a chat: from a tuned model's rows if one of them is near, else as any model would."""
    job = _tuned(ask)
    if job is None:
        return chat.complete(ask)
    exchange = chat._understand(ask)
    example = _nearest_example_model(ask, job).nearest(exchange.conversation.prompt, _shown(ask))
    if example is not None and not exchange.conversation.tool_results:
        place = chat._reasoning_place(ask, capabilities(job.base)) if example.reasoning else "none"
        generations = [_generation(ask, exchange, example, place)] * exchange.parameters.n
        exchange = replace(exchange, generations=generations, reasoning_field=place)
    if exchange.parameters.stream:
        return EventStream(chat._chunks(exchange), ask.behaviour.delay)
    return chat._whole(exchange)


def _shown(ask: Ask) -> tuple[str, ...]:
    """The pictures of the last question."""
    asked = [message.get("content") for message in ask.body["messages"] if message["role"] == "user"]
    return image_urls(asked[-1]) if asked else ()


def _generation(ask: Ask, exchange: chat.Exchange, example: TrainingExample, place: str) -> Any:
    reasoning = "" if place == "none" else example.reasoning
    return chat._generation(
        ask, exchange.parameters, ModelReply(example.answer, example.tool_calls, verbatim=True), reasoning, place
    )


def complete(ask: Ask) -> dict[str, Any] | EventStream:
    """Continue a prompt, likewise."""
    job = _tuned(ask)
    prompt = ask.body.get("prompt")
    if job is None or not isinstance(prompt, str):
        return completions.complete(ask)
    example = _nearest_example_model(ask, job).nearest(prompt)
    if example is None or not example.answer:
        return completions.complete(ask)
    # A text that is fixed word by word is a pattern that only it fits.
    wanted = {"type": "regex", "pattern": re.escape(example.answer[:_LONGEST])}
    return completions.complete(replace(ask, body={**ask.body, "response_format": wanted}))


def _tuned(ask: Ask) -> FineTune | None:
    """The job that made the model which is asked.

    Raises:
        ApiError: It is not done.
    """
    name = ask.body.get("model")
    job = by_output(ask, name) if isinstance(name, str) else None
    if job is not None and job.status() != "completed":
        raise model_not_available(str(name))
    return job


def answer_of(ask: Ask, model: str, question: str) -> str | None:
    """What a tuned model says to a question; None where the model is not tuned, or knows nothing near."""
    job = by_output(ask, model)
    example = _nearest_example_model(ask, job).nearest(question) if job and job.status() == "completed" else None
    return example.answer if example else None


def _nearest_example_model(ask: Ask, job: FineTune) -> NearestExampleModel:
    models: dict[str, NearestExampleModel] = ask.state.shelf.setdefault("nearest_example_models", {})
    if job.id not in models:
        models[job.id] = NearestExampleModel(job.data.rows)
    return models[job.id]


ROUTES: Any = [json_route("/v1/chat/completions", chat_complete), json_route("/v1/completions", complete)]
