# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Extract bookings from e-mails and handle the failures: structured output with LangChain on Together.

You learn how to describe the result as a pydantic model with a validator that no JSON schema can express; how `include_raw` keeps
the raw answers, so that one invalid answer does not fail the batch; and how to handle each kind of failure: a truncated answer is
requested again with a higher token limit, an invalid one with the validation error, and what is still invalid is left for a person.

It prints a row for each booking, then the e-mails without a booking and why, and the tokens used.

With `TOGETHER_API_KEY` set, it sends about six chat requests (about 1,500 tokens in all). Without a key, it runs on the emulator
and costs nothing.

    uv run cookbook/extraction_langchain.py
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import session
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import Runnable
from langchain_together_adapters import ChatTogether
from pydantic import BaseModel, Field, model_validator

MODEL = "openai/gpt-oss-120b"
MAX_TOKENS, RETRY_MAX_TOKENS = 60, 400  # most answers are short, and a low limit bounds the cost of an endless one
MAILS = [
    "This is Ben Osei. Please book 3 nights in Lisbon from 12 May 2026 at a price of 80 euros, a total of 240 euros. "
    "Reach me at ben@example.org.",
    "We are Northern Readers. Please book 2 nights in Oslo from 14 May 2026 at a "
    "price of 95 euros, a total of 190 euros. Reach us at the.northern.reading.and.walking.society.of.upper.saint.mary@example.org.",
    "This is Ada Okafor. Please book 4 nights in Vienna from 2 June 2026 at a price of 70 euros, a total of 290 euros. "
    "Reach me at ada@example.org.",
    "This is Dana Petrov. Please book 1 night in Turin from 5 June 2026 at a price of 110 euros, a total of 110 euros. "
    "Reach me at dana@example.org.",
]


# %% The schema
class Booking(BaseModel):
    """A booking of a room."""

    name: str = Field(description="who books")
    city: str
    nights: int
    price: float = Field(description="price of a night, in euros")
    total: float = Field(description="total in euros, as the text says it")
    date: str = Field(description="date of arrival, as the text says it")
    email: str

    @model_validator(mode="after")
    def _check_total(self) -> Self:
        """Compares the figures with each other: numbers that a model invents, or an e-mail gets wrong, rarely add up."""
        if abs(self.nights * self.price - self.total) > 0.005:
            raise ValueError(
                f"{self.nights} x {self.price:.2f} is {self.nights * self.price:.2f}, but the total is {self.total:.2f}"
            )
        return self


class Outcome(NamedTuple):
    """The result for one e-mail: a booking, or the reason why there is none; `note` describes a second attempt."""

    booking: Booking | None
    reason: str = ""
    note: str = ""


# %% Requests and retries
def read_mails(llm: ChatTogether, mails: list[str], config: dict[str, Any]) -> list[Outcome]:
    """Reads all e-mails in parallel, and those that fail once more."""
    conversations: list[list[AnyMessage]] = [[HumanMessage(mail)] for mail in mails]
    first = reader(llm, MAX_TOKENS).batch(conversations, config)
    return [
        Outcome(answer["parsed"]) if answer["parsed"] else retry(llm, conversation, answer, config)
        for conversation, answer in zip(conversations, first, strict=True)
    ]


def reader(llm: ChatTogether, max_tokens: int) -> Runnable[Any, Any]:
    """Builds a runnable from a conversation to {"raw", "parsed", "parsing_error"}; on an error, `parsed` is None."""
    return llm.model_copy(update={"max_tokens": max_tokens}).with_structured_output(Booking, include_raw=True)


def retry(llm: ChatTogether, conversation: list[AnyMessage], answer: dict[str, Any], config: dict[str, Any]) -> Outcome:
    """Sends a second request that suits the failure."""
    if is_truncated(answer):
        note = "second request with a higher token limit"
    else:
        note = "second request with the validation error"
        feedback = f"That is wrong: {reason(answer)}. Read the message again, and correct the booking."
        conversation = [*conversation, AIMessage(answer["raw"].text), HumanMessage(f"{conversation[0].text}\n\n{feedback}")]
    second = reader(llm, RETRY_MAX_TOKENS).invoke(conversation, config)
    return Outcome(second["parsed"], "" if second["parsed"] else reason(second), note)


def is_truncated(answer: dict[str, Any]) -> bool:
    """Whether the answer ended at `max_tokens`."""
    return bool(answer["raw"].response_metadata.get("finish_reason") == "length")


def reason(answer: dict[str, Any]) -> str:
    """The reason why an answer could not be parsed, in one line. The cause of the parser's error is pydantic's, which has details."""
    if is_truncated(answer):
        return "the answer is truncated"
    error = answer["parsing_error"]
    cause = error.__cause__ or error.__context__
    errors = getattr(cause, "errors", None)
    return str(errors()[0]["msg"]).removeprefix("Value error, ") if errors else str(error).splitlines()[0]


# %% The table
def show(outcomes: list[Outcome]) -> None:
    """Prints the bookings, then the e-mails without one."""
    print(f"\n{'name':<20} {'city':<8} {'nights':>6} {'price':>7} {'total':>7}  date")
    for outcome in outcomes:
        if (booking := outcome.booking) is not None:
            name = booking.name if len(booking.name) <= 20 else f"{booking.name[:17]}..."
            print(f"{name:<20} {booking.city:<8} {booking.nights:>6} {booking.price:>7.2f} {booking.total:>7.2f}  {booking.date}")
            if outcome.note:
                print(f"  ({outcome.note})")
    for number, outcome in enumerate(outcomes, start=1):
        if outcome.booking is None:
            print(f"\nNo booking in e-mail {number}: {outcome.reason}\n  {MAILS[number - 1][:74]}...\n  ({outcome.note})")


def main() -> None:
    with session.connect("LangChain: bookings from e-mails") as run:
        llm = ChatTogether(model=run.chat_model(MODEL), temperature=0, reasoning_effort="low", client=run.client)
        usage = UsageMetadataCallbackHandler()
        show(read_mails(llm, MAILS, {"callbacks": [usage]}))
        tokens = usage.usage_metadata.values()  # one entry for each model
        run.print_summary(sum(model["input_tokens"] for model in tokens), sum(model["output_tokens"] for model in tokens))


if __name__ == "__main__":
    main()
