# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[llama-index,emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Extract objects from prose: structured output with LlamaIndex on Together.

You learn how to describe the result as pydantic models, how to print the rows of a long answer while it streams, how to use an
LLM that always answers with such an object, and that the same call works by JSON schema or by a tool, as the model supports.

It prints the promises in an e-mail, each as soon as it is complete, then the announcement in another e-mail.

With `TOGETHER_API_KEY` set, it sends three chat requests (about 1,500 tokens in all). Without a key, it runs on the emulator and
costs nothing.

    uv run cookbook/extraction_llama_index.py
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

import session
from llama_index.core import PromptTemplate
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent
from llama_index_together_adapters import TogetherLLM
from pydantic import BaseModel, Field

MODEL = "openai/gpt-oss-120b"
PROMISES = (
    "Ada Okafor will write the budget by 14 May. Ben Osei will test the new search before 18 May. "
    "Chidi Lund will invite the customers on 20 May. Dana Petrov will order the lamps by 2 June."
)
ANNOUNCEMENT = 'Our workshop "Search without tears" takes place in Lisbon on 12 May 2026. Questions go to ada@example.org.'
PROMPT = PromptTemplate("{text}")


# %% The schemas
class Promise(BaseModel):
    """A task that somebody promised to do."""

    owner: str = Field(description="who promised it")
    kind: Literal["write", "test", "invite", "order"]
    due: str = Field(description="by when, as the text says it")
    text: str = Field(description="the sentence of the text that says so")


class Promises(BaseModel):
    """All promises in a text."""

    promises: list[Promise]


class Event(BaseModel):
    """An event that a text announces."""

    title: str
    city: str
    date: str = Field(description="as the text says it")
    email: str = Field(description="whom to write to")


# %% Rows as they arrive
def rows(llm: TogetherLLM, text: str) -> Iterator[Promise]:
    """Yields the promises of a text, each as soon as the next one begins."""
    complete = 0
    partial = Promises(promises=[])
    for partial in llm.stream_structured_predict(Promises, PROMPT, text=text):
        promises = partial.promises or []  # while it streams, any field of a partial object may be None
        yield from promises[complete:-1]
        complete = max(complete, len(promises) - 1)
    yield from partial.promises[complete:]


def show_promises(llm: TogetherLLM) -> None:
    start_time = time.monotonic()
    for row in rows(llm, PROMISES):
        print(f"{time.monotonic() - start_time:5.1f} s  {row.owner:<12} {row.kind:<8} {row.due}")


# %% An LLM that answers with an object
def show_announcement(llm: TogetherLLM) -> None:
    for field, value in llm.as_structured_llm(Event).complete(ANNOUNCEMENT).raw:
        print(f"  {field:<8}{value}")


# %% The tokens
class Usage(BaseEventHandler):
    """Adds up the token counts of all chat responses."""

    prompt_tokens: int = 0
    answer_tokens: int = 0

    def handle(self, event: BaseEvent, **kwargs: object) -> None:
        if isinstance(event, LLMChatEndEvent) and event.response is not None:
            self.prompt_tokens += event.response.additional_kwargs.get("prompt_tokens", 0)
            self.answer_tokens += event.response.additional_kwargs.get("completion_tokens", 0)


def main() -> None:
    with session.connect("LlamaIndex: objects from prose") as run:
        usage = Usage()
        get_dispatcher().add_event_handler(usage)
        llm = TogetherLLM(run.chat_model(MODEL), temperature=0, client=run.client)
        print("\nPromises, by JSON schema, as they stream in:")
        show_promises(llm)
        print("\nThe same, by a tool, as for a model that does not support JSON schemas:")
        show_promises(llm.model_copy(update={"should_use_structured_outputs": False}))
        print("\nAn announcement:")
        show_announcement(llm)
        run.print_summary(usage.prompt_tokens, usage.answer_tokens)


if __name__ == "__main__":
    main()
