"""What a fine-tuned model answers: the answer of the training example that is nearest to the question.

The nearest example has the same images or the same words as the question; failing that, it shares most rare words with it,
where the last paragraph of a prompt counts first: behind a long context, that is the question. Where no example is near
enough, the base model answers, so that tests can distinguish trained from untrained questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from together_adapters.emulator.conversation import ParsedToolCall, parse_arguments
from together_adapters.emulator.text.features import stems, words
from together_adapters.emulator.text.similarity import bm25, coverage

_MIN_COVERAGE: Final = 0.3  # the share of a question's words that an example must contain to answer it
_MAX_EXAMPLES: Final = 5_000


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """A prompt of a training file, and the answer that the model learns."""

    prompt: str
    answer: str
    tool_calls: tuple[ParsedToolCall, ...] = ()
    reasoning: str = ""
    images: tuple[str, ...] = ()


class NearestExampleModel:
    """Finds, among the examples of a training file, the one that answers a question."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self.examples = list(islice((example for row in rows for example in parse_examples(row)), _MAX_EXAMPLES))
        # Of examples with the same prompt, the first one answers.
        self._by_prompt = {(tuple(words(example.prompt)), example.images): example for example in reversed(self.examples)}
        self._by_images = {example.images: example for example in reversed(self.examples) if example.images}
        self._prompts = [_terms(example.prompt) for example in self.examples]
        self._last_paragraphs = [_terms(example.prompt.rpartition("\n\n")[2]) for example in self.examples]

    def nearest(self, question: str, images: tuple[str, ...] = ()) -> TrainingExample | None:
        """Returns the example nearest to a question and the URLs of its images, or None when none is near enough."""
        example = self._by_prompt.get((tuple(words(question)), images)) or self._by_images.get(images)
        if example is not None:
            return example
        terms = _terms(question)
        scores = bm25(terms, self._prompts)
        last_terms = _terms(question.rpartition("\n\n")[2]) if "\n\n" in question else []
        best = max(range(len(scores)), key=lambda i: (coverage(last_terms, self._last_paragraphs[i]), scores[i]), default=None)
        if best is None or coverage(terms, self._prompts[best]) < _MIN_COVERAGE:
            return None
        return self.examples[best]


def parse_examples(row: dict[str, Any]) -> Iterator[TrainingExample]:
    """Yields the examples of one row, in each of the formats of training data."""
    if isinstance(row.get("messages"), list):
        yield from _chat_examples(row["messages"])
    elif isinstance(row.get("preferred_output"), list) and isinstance(row.get("input"), dict):
        yield from _chat_examples([*(row["input"].get("messages") or []), *row["preferred_output"]])
    elif "prompt" in row and "completion" in row:
        yield TrainingExample(_text(row["prompt"]), _text(row["completion"]).strip())
    elif isinstance(row.get("text"), str):
        first, _, rest = row["text"].strip().partition("\n")
        yield TrainingExample(first if rest.strip() else row["text"], rest.strip() or row["text"])


def image_urls(content: Any) -> tuple[str, ...]:
    """The URLs of the images in a message's content."""
    parts = content if isinstance(content, list) else ()
    images = [part.get("image_url") for part in parts if isinstance(part, dict) and part.get("type") == "image_url"]
    return tuple(str(image.get("url") if isinstance(image, dict) else image) for image in images)


def _chat_examples(messages: list[Any]) -> Iterator[TrainingExample]:
    """Yields each assistant message that is trained on, with the user message before it."""
    prompt, images = "", tuple[str, ...]()
    for message in messages:
        if not isinstance(message, dict):
            continue
        content = message.get("content")
        if message.get("role") == "user":
            prompt, images = _text(content), image_urls(content)
        elif message.get("role") == "assistant" and message.get("weight") != 0:
            reasoning = _text(message.get("reasoning") or message.get("reasoning_content"))
            yield TrainingExample(prompt, _text(content), tuple(_tool_calls(message.get("tool_calls"))), reasoning, images)


def _tool_calls(tool_calls: Any) -> Iterator[ParsedToolCall]:
    for tool_call in tool_calls if isinstance(tool_calls, list) else ():
        function = tool_call.get("function") if isinstance(tool_call, dict) else None
        if isinstance(function, dict):
            arguments = parse_arguments(function.get("arguments"))
            yield ParsedToolCall(str(function.get("name")), arguments, str(tool_call.get("id") or ""))


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict) and part.get("type") == "text")
    return content if isinstance(content, str) else ""


def _terms(text: str) -> list[str]:
    """Stems of a text; its words, when it has only stop words."""
    return stems(text) or words(text)
