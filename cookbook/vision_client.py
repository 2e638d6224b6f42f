# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Talk about pictures: a chat with a vision model, with the plain client.

You learn how a picture of this machine travels in a message, as a data URL; how to ask on without naming it again, and what that
costs, as a picture is read anew in every turn; how to show a second one; and how to get what a picture shows as an object.

It draws two charts of coloured bars, whose heights it knows, and asks about them. It prints each answer as it streams in, the tokens of
each turn, and whether the model reads the charts as they are.

With `TOGETHER_API_KEY` set, it sends four chat requests (some 3,000 tokens, less than a tenth of a cent; not tried with a key).
Without a key, it runs on the emulator, which sees that there is a picture and not what it shows, and costs nothing.

    uv run cookbook/vision_client.py
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections import Counter
from typing import Any, Literal

import session
from pydantic import BaseModel

from together_adapters import Together

MODEL = "Qwen/Qwen3.5-9B"
COLOURS = {"red": (214, 40, 40), "green": (42, 157, 80), "blue": (29, 78, 216), "yellow": (244, 197, 32)}
Colour = Literal["red", "green", "blue", "yellow"]
BEFORE, AFTER = {"red": 3, "green": 8, "blue": 5, "yellow": 2}, {"red": 3, "green": 8, "blue": 9, "yellow": 2}
UNIT = 24  # pixels


# %% The pictures
def chart(bars: dict[str, int]) -> bytes:
    """Draws bars side by side as a PNG file: rows of pixels, compressed."""
    height, gap, white = 10 * UNIT, b"\xff" * 3 * UNIT, b"\xff" * 3 * 2 * UNIT
    rows = bytearray()
    for y in range(height):
        bar = [bytes(COLOURS[name]) * 2 * UNIT if height - y <= value * UNIT else white for name, value in bars.items()]
        rows += b"\0" + gap + gap.join(bar) + gap
    width = UNIT * (3 * len(bars) + 1)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def picture(png: bytes) -> dict[str, Any]:
    """Returns a picture as a part of a message; a URL of the web would do as well."""
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64encode(png).decode()}"}}


# %% The chat
class Chat:
    """A conversation that keeps its pictures, and counts the tokens."""

    def __init__(self, client: Together, model: str) -> None:
        self._client = client
        self._settings: dict[str, Any] = {"model": model, "temperature": 0, "max_tokens": 300, "reasoning": {"enabled": False}}
        self._messages: list[dict[str, Any]] = []
        self.tokens: Counter[str] = Counter()

    def ask(self, text: str, *pictures: bytes) -> None:
        """Asks, prints the answer as it comes, and what the turn has cost."""
        print(f"\n> {text}{' [a picture]' * len(pictures)}")
        self._messages.append({"role": "user", "content": [{"type": "text", "text": text}, *map(picture, pictures)]})
        screen, usage = session.Screen(), None
        with self._client.chat.completions.create(
            messages=self._messages, stream=True, stream_options={"include_usage": True}, **self._settings
        ) as chunks:
            for chunk in chunks:
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    screen.write(choice.delta.content or "")
        self._messages.append({"role": "assistant", "content": screen.end()})
        self._count(usage)

    def read(self, text: str, kind: type[BaseModel]) -> Any:
        """Asks for an object."""
        print(f"\n> {text}")
        question = {"role": "user", "content": text}
        answer = self._client.chat.completions.create(
            messages=[*self._messages, question], response_format=kind, **self._settings
        )
        print(answer.choices[0].message.content)
        self._count(answer.usage)
        return answer.parsed

    def _count(self, usage: Any) -> None:
        if usage:
            print(f"  ({usage.prompt_tokens:,} tokens in, {usage.completion_tokens:,} out)")
            self.tokens.update({"in": usage.prompt_tokens or 0, "out": usage.completion_tokens or 0})


class Reading(BaseModel):
    """What both charts show."""

    tallest_before: Colour
    tallest_after: Colour
    changed: Colour


def main() -> None:
    with session.connect("The client: a chat about pictures") as run:
        model = run.chat_model(MODEL)
        print(f"Model:    {model}")
        chat = Chat(run.client, model)
        chat.ask("Which bar of this chart is the tallest, and which is the shortest?", chart(BEFORE))
        chat.ask("Is the red bar taller than the blue one?")
        chat.ask("Here is the chart of a day later. Which bar has changed?", chart(AFTER))
        try:
            reading = chat.read("As JSON: the tallest bar before and after, and the bar that has changed.", Reading)
        except ValueError as error:  # the text was cut, or the model refused
            print(f"\nNo reading: {error}")
        else:
            truth = Reading(tallest_before="green", tallest_after="blue", changed="blue")
            right = sum(getattr(reading, name) == value for name, value in truth)
            print(f"\n{right} of {len(Reading.model_fields)} readings are right")
        run.print_summary(chat.tokens["in"], chat.tokens["out"])


if __name__ == "__main__":
    main()
