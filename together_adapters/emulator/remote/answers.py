"""From an engine's answers to those of Together's API: choices, log-probabilities, usage. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from together_adapters.emulator.generation import usage as usage_object
from together_adapters.emulator.text.features import count_tokens, token_id

REASONING_FIELDS = ("reasoning_content", "reasoning")  # as llama.cpp and vLLM have it, and as Ollama and newer versions of vLLM


class AnswerBehaviour(Protocol):
    """What is used here of the emulator's `Behaviour`."""

    @property
    def finish(self) -> str: ...
    @property
    def usage(self) -> str: ...
    @property
    def cached_tokens(self) -> str: ...
    @property
    def role_every_chunk(self) -> bool: ...
    @property
    def null_content(self) -> bool: ...
    @property
    def echo_ids(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What an answer says that the engine does not know, and the form in which it says the rest.

    Attributes:
        id: Its id, that of the request.
        created: Seconds since 1970.
        model: The name of the model in the request.
        seed: The seed that it reports.
        prompt: The prompt, as `echo` wants it.
        prompt_tokens: An estimate, for engines that do not count.
        logprobs: Parallel arrays, or a list of objects; None without log-probabilities.
        reasoning: The field of the message; `tags` for its text, `none` to leave it out.
        behaviour: What the emulator was told about the form of answers.
    """

    id: str
    created: int
    model: str
    seed: int
    prompt: list[dict[str, Any]]
    prompt_tokens: int
    logprobs: Literal["openai", "together"] | None
    reasoning: str
    behaviour: AnswerBehaviour

    def finish(self, reason: Any) -> str:
        """Returns the finish reason of a choice."""
        return self.behaviour.finish if reason in ("stop", None) else str(reason)

    def usage(self, usage: Any, texts: Callable[[], str]) -> dict[str, Any]:
        """Returns the usage that an engine reports; estimates what it does not."""
        counts = usage if isinstance(usage, Mapping) else {}
        details = counts.get("completion_tokens_details")
        cached = counts.get("prompt_tokens_details")
        prompt, completion = counts.get("prompt_tokens"), counts.get("completion_tokens")
        return usage_object(
            self.prompt_tokens if not isinstance(prompt, int) else prompt,
            count_tokens(texts()) if not isinstance(completion, int) else completion,
            int((cached.get("cached_tokens") if isinstance(cached, Mapping) else counts.get("cached_tokens")) or 0),
            int((details.get("reasoning_tokens") if isinstance(details, Mapping) else 0) or 0),
            self.behaviour.cached_tokens == "nested",
        )


def choices_of(body: Any) -> list[Mapping[str, Any]] | None:
    """Returns the choices of an answer; None if it has not the form of one."""
    choices = body.get("choices") if isinstance(body, Mapping) else None
    valid = isinstance(choices, list) and bool(choices) and all(isinstance(choice, Mapping) for choice in choices)
    return choices if valid else None


def chat_answer(form: AnswerForm, choices: list[Mapping[str, Any]], usage: Any) -> dict[str, Any]:
    """Returns a chat completion."""
    converted = [_chat_choice(form, choice, index) for index, choice in enumerate(choices)]
    texts = "".join(_texts(choice["message"]) for choice in converted)
    return _answer(form, "chat.completion", converted, usage, texts)


def text_answer(form: AnswerForm, choices: list[Mapping[str, Any]], usage: Any) -> dict[str, Any]:
    """Returns a text completion."""
    converted: list[dict[str, Any]] = [
        {
            "index": index,
            "text": str(choice.get("text") or ""),
            "finish_reason": form.finish(choice.get("finish_reason")),
            "seed": form.seed,
            "logprobs": converted_logprobs(form, choice.get("logprobs")),
        }
        for index, choice in enumerate(choices)
    ]
    return _answer(form, "text.completion", converted, usage, "".join(choice["text"] for choice in converted))


def _answer(form: AnswerForm, object: str, choices: list[dict[str, Any]], usage: Any, texts: str) -> dict[str, Any]:
    return {
        "id": form.id,
        "object": object,
        "created": form.created,
        "model": form.model,
        "prompt": form.prompt,
        "choices": choices,
        "usage": form.usage(usage, lambda: texts),
    }


def _chat_choice(form: AnswerForm, choice: Mapping[str, Any], index: int) -> dict[str, Any]:
    message = choice.get("message")
    source = message if isinstance(message, Mapping) else {"content": choice.get("text")}
    calls = [tool_call(form, call, number) for number, call in enumerate(source.get("tool_calls") or ())]
    content, reasoning = source.get("content"), reasoning_of(source)
    text = {"role": "assistant", "content": content if content or calls else content or ""}
    if reasoning and form.reasoning == "tags":
        text["content"] = f"<think>\n{reasoning}\n</think>\n\n{content or ''}"
    elif reasoning and form.reasoning != "none":
        text[form.reasoning] = reasoning
    refusal = {"refusal": source["refusal"]} if source.get("refusal") else {}
    finish = choice.get("finish_reason")
    return {
        "index": index,
        "finish_reason": "tool_calls" if calls and finish in ("stop", None) else form.finish(finish),
        "seed": form.seed,
        "logprobs": converted_logprobs(form, choice.get("logprobs")),
        "message": {**text, "tool_calls": calls, **refusal},
    }


def reasoning_of(message: Mapping[str, Any]) -> str:
    """Returns the reasoning of a message or a delta."""
    return next((message[name] for name in REASONING_FIELDS if isinstance(message.get(name), str) and message[name]), "")


def tool_call(form: AnswerForm, call: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Returns a tool call with what engines leave out: an id, an index, arguments as text."""
    function = call.get("function") or {}
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    id = call.get("id") or call_id(form, index)
    return {"index": index, "id": id, "type": "function", "function": {"name": function.get("name") or "", "arguments": text}}


def call_id(form: AnswerForm, index: int) -> str:
    """Returns an id for a tool call that has none."""
    return f"call_{form.id[1:7].lower()}{index:02d}"


def _texts(message: Mapping[str, Any]) -> str:
    calls = "".join(call["function"]["name"] + call["function"]["arguments"] for call in message["tool_calls"])
    return (message["content"] or "") + reasoning_of(message) + calls


def converted_logprobs(form: AnswerForm, logprobs: Any) -> dict[str, Any] | None:
    """Returns log-probabilities in the format of the model: parallel arrays, or a list of objects."""
    if form.logprobs is None or not isinstance(logprobs, Mapping):
        return None
    entries = logprobs.get("content")
    if entries is None:  # the arrays of text completions
        return {name: value for name, value in logprobs.items() if name != "text_offset"}
    if form.logprobs == "openai":
        return {"content": entries}
    arrays = {
        "tokens": [entry.get("token") for entry in entries],
        "token_logprobs": [entry.get("logprob") for entry in entries],
        "token_ids": [entry.get("id", token_id(str(entry.get("token")))) for entry in entries],
    }
    tops = [{top["token"]: top["logprob"] for top in entry.get("top_logprobs") or ()} for entry in entries]
    return arrays | ({"top_logprobs": tops} if any(len(top) > 1 for top in tops) else {})
