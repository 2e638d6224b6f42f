# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Read bookings out of e-mails, and cope with those that cannot be read: structured output with LangChain on Together.

You learn to describe what you want as a pydantic model with a rule that no JSON schema can express; to keep the raw answer by
`include_raw`, so that one bad answer does not lose the others; and to tell failures apart: an answer that was cut short is
asked for again with more room, one that breaks the rule is shown to the model with what is wrong, and what stays wrong is set
aside for a person.

It prints a row for each booking, then what was set aside and why, with the tokens that took.

Live (`TOGETHER_API_KEY` is set) it asks the chat model six times or so, with about 1,500 tokens in all. Without a key it runs on
the emulator and costs nothing.

    python cookbook/extraction_langchain.py
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import session
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import Runnable
from langchain_together_adapters import ChatTogether
from pydantic import BaseModel, Field, model_validator

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
ROOM, MORE_ROOM = 60, 400  # tokens: most answers are short, and a short limit bounds what a runaway answer costs
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


# %% What is wanted
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
        """Hold the figures against each other: what a model makes up, or a mail gets wrong, seldom adds up."""
        if abs(self.nights * self.price - self.total) > 0.005:
            raise ValueError(
                f"{self.nights} x {self.price:.2f} is {self.nights * self.price:.2f}, but the total is {self.total:.2f}"
            )
        return self


class Outcome(NamedTuple):
    """What came of a mail: a booking, or the reason why there is none; `note` tells of a second try."""

    booking: Booking | None
    reason: str = ""
    note: str = ""


# %% Asking, and asking again
def read_mails(llm: ChatTogether, mails: list[str], config: dict[str, Any]) -> list[Outcome]:
    """Read all mails at the same time, and those that failed once more."""
    conversations: list[list[AnyMessage]] = [[HumanMessage(mail)] for mail in mails]
    first = reader(llm, ROOM).batch(conversations, config)
    return [
        Outcome(answer["parsed"]) if answer["parsed"] else ask_again(llm, conversation, answer, config)
        for conversation, answer in zip(conversations, first, strict=True)
    ]


def reader(llm: ChatTogether, room: int) -> Runnable[Any, Any]:
    """From a conversation to {"raw", "parsed", "parsing_error"}; `parsed` is None where there is an error."""
    return llm.model_copy(update={"max_tokens": room}).with_structured_output(Booking, include_raw=True)


def ask_again(llm: ChatTogether, conversation: list[AnyMessage], answer: dict[str, Any], config: dict[str, Any]) -> Outcome:
    """Ask once more, in the way that suits the failure."""
    if cut_short(answer):
        note = "asked again with more room"
    else:
        note = "asked again with what was wrong"
        complaint = f"That is wrong: {reason(answer)}. Read the message again, and correct the booking."
        conversation = [*conversation, AIMessage(answer["raw"].text), HumanMessage(f"{conversation[0].text}\n\n{complaint}")]
    second = reader(llm, MORE_ROOM).invoke(conversation, config)
    return Outcome(second["parsed"], "" if second["parsed"] else reason(second), note)


def cut_short(answer: dict[str, Any]) -> bool:
    """Whether the answer ran into `max_tokens`: then its end is missing, and nothing else is wrong with it."""
    return bool(answer["raw"].response_metadata.get("finish_reason") == "length")


def reason(answer: dict[str, Any]) -> str:
    """Return in one line why an answer could not be read. The parser raises from pydantic's error, which knows more."""
    if cut_short(answer):
        return "the answer is cut short"
    error = answer["parsing_error"]
    cause = error.__cause__ or error.__context__
    errors = getattr(cause, "errors", None)
    return str(errors()[0]["msg"]).removeprefix("Value error, ") if errors else str(error).splitlines()[0]


# %% The table
def show(outcomes: list[Outcome]) -> None:
    """Print the bookings, then what was set aside."""
    print(f"\n{'name':<20} {'city':<8} {'nights':>6} {'price':>7} {'total':>7}  date")
    for outcome in outcomes:
        if (found := outcome.booking) is not None:
            name = found.name if len(found.name) <= 20 else f"{found.name[:17]}..."
            print(f"{name:<20} {found.city:<8} {found.nights:>6} {found.price:>7.2f} {found.total:>7.2f}  {found.date}")
            if outcome.note:
                print(f"  ({outcome.note})")
    for number, outcome in enumerate(outcomes, start=1):
        if outcome.booking is None:
            print(f"\nSet aside, mail {number}: {outcome.reason}\n  {MAILS[number - 1][:74]}...\n  ({outcome.note})")


def main() -> None:
    with session.connect("LangChain: bookings out of e-mails") as run:
        llm = ChatTogether(model=MODEL, temperature=0, client=run.client)
        usage = UsageMetadataCallbackHandler()
        show(read_mails(llm, MAILS, {"callbacks": [usage]}))
        spent = usage.usage_metadata.values()  # by model; one was asked
        run.close_with(sum(model["input_tokens"] for model in spent), sum(model["output_tokens"] for model in spent))


if __name__ == "__main__":
    main()
