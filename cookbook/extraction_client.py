# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Read orders from e-mails into objects of Python: JSON with the plain client.

You learn that a class as `response_format` is its schema in the request and an object in the answer; that a validator checks what no
schema can express; and how to handle an answer that does not pass: it is asked for once more, with the error, and what is still
wrong is left for a person.

It prints a row for each order, then the e-mails without one and why, and the tokens used.

With `TOGETHER_API_KEY` set, it sends about five chat requests (about 1,500 tokens in all, less than a tenth of a cent). Without a key,
it runs on the emulator and costs nothing.

    uv run cookbook/extraction_client.py
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, Self

import session
from pydantic import BaseModel, Field, model_validator

from together_adapters import Together

MODEL = "openai/gpt-oss-120b"
MAX_TOKENS = 500  # bounds the cost of an answer that does not end; reasoning counts, too
MAILS = [
    "This is Ada Okafor. Please send 3 notebooks at a price of 4.50 euros, a total of 13.50 euros, by post. "
    "Questions go to ada@example.org.",
    "I am Ben Osei. I order 2 chairs at a price of 75 euros, a total of 150 euros, by courier.",
    "We are Northern Readers. We take 12 pencils at a price of 0.80 euros, a total of 10 euros; pickup is on Monday.",
]


# %% The schema
class Order(BaseModel):
    """An order of one article."""

    customer: str = Field(description="who orders")
    pieces: int
    price: float = Field(description="price of a piece, in euros")
    total: float = Field(description="total in euros, as the text says it")
    delivery: Literal["post", "courier", "pickup"]
    email: str | None = Field(None, description="null if the text has none")

    @model_validator(mode="after")
    def _check_total(self) -> Self:
        """Compares the figures with each other: numbers that a model invents, or an e-mail gets wrong, rarely add up."""
        if abs(self.pieces * self.price - self.total) > 0.005:
            raise ValueError(
                f"{self.pieces} x {self.price:.2f} is {self.pieces * self.price:.2f}, but the total is {self.total:.2f}"
            )
        return self


# %% The requests
class Reader:
    """Reads e-mails with one model, and counts the tokens."""

    def __init__(self, client: Together, model: str) -> None:
        self._settings: dict[str, Any] = {"model": model, "temperature": 0, "max_tokens": MAX_TOKENS, "reasoning_effort": "low"}
        self._client = client
        self.tokens: Counter[str] = Counter()

    def read(self, mail: str) -> Order:
        """Returns the order of an e-mail.

        Raises:
            ValueError: The second answer is no order, either; the message says why.
        """
        messages = [{"role": "user", "content": mail}]
        answer = self._ask(messages)
        try:
            return answer.parsed  # type: ignore[no-any-return]
        except ValueError as error:
            feedback = f"{mail}\n\nThis answer was wrong: {reason(error)}. Read the message again, and correct the order."
            messages += [
                {"role": "assistant", "content": answer.choices[0].message.content},
                {"role": "user", "content": feedback},
            ]
            return self._ask(messages).parsed  # type: ignore[no-any-return]

    def _ask(self, messages: list[Any]) -> Any:
        answer = self._client.chat.completions.create(messages=messages, response_format=Order, **self._settings)
        if usage := answer.usage:
            self.tokens.update({"in": usage.prompt_tokens or 0, "out": usage.completion_tokens or 0})
        return answer


def reason(error: ValueError) -> str:
    """Why an answer is no order: what pydantic says first, or that the text was cut, or that the model refused."""
    errors = getattr(error.__cause__, "errors", None)
    return str(errors()[0]["msg"]).removeprefix("Value error, ") if errors and "cut" not in str(error) else str(error)


def main() -> None:
    with session.connect("The client: orders from e-mails") as run:
        reader = Reader(run.client, run.chat_model(MODEL))
        refused = []
        print(f"\n{'customer':<16} {'pieces':>6} {'price':>7} {'total':>7}  {'delivery':<8}  e-mail")
        for mail in MAILS:
            try:
                order = reader.read(mail)
            except ValueError as error:
                refused.append((mail, reason(error)))
                continue
            numbers = f"{order.pieces:>6} {order.price:>7.2f} {order.total:>7.2f}"
            print(f"{order.customer[:16]:<16} {numbers}  {order.delivery:<8}  {order.email or '-'}")
        for mail, why in refused:
            print(f"\nNo order, also at the second time: {why}\n  {mail[:74]}...")
        run.print_summary(reader.tokens["in"], reader.tokens["out"])


if __name__ == "__main__":
    main()
