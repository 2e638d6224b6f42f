# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator,finetune]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Train a model to read images: labels in a file, images in a folder, and rows that contain the images.

You learn how to convert labels with image paths to rows with the images as data URLs, which is the format for training; how to
restrict the paths to a folder; and how to ask a model about an image.

It draws gauges, then prints the report of the rows, the job, and the answers for a gauge before and after.

With `TOGETHER_API_KEY` set, it starts a training job, which costs money: with this little data a dollar or less. The price is
shown before it starts and must be confirmed (`--yes` confirms it). The models that can be trained change: set `MODEL` to a vision
model. Without a key, it runs on the emulator, where nothing costs anything and a tuned model only recognises its training images.

    uv run cookbook/finetune_vision.py --folder gauges
"""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from pathlib import Path
from struct import pack

import tuning

from together_adapters import Together
from together_adapters.finetune import TrainingData, load

MODEL = "Qwen/Qwen3.5-9B"
QUESTION = "Which part of this tank is full?"
LEVELS = range(0, 101, 5)
LEVEL = 35  # the level in the image of the question
SIZE = 64
FULL, EMPTY, FRAME = b"\x2f\x6f\xb0", b"\xf2\xf2\xf2", b"\x30\x30\x30"


# %% The images: a PNG file is a header, compressed lines of pixels, and an end
def gauge(level: int) -> bytes:
    """Draws a tank that is full to some per cent."""
    border = b"\0" + FRAME * SIZE  # each line begins with its filter type, 0 for none
    lines = [
        b"\0" + FRAME * 2 + (FULL if 100 * (SIZE - y) <= level * SIZE else EMPTY) * (SIZE - 4) + FRAME * 2
        for y in range(2, SIZE - 2)
    ]
    pixels = zlib.compress(b"".join([border, border, *lines, border, border]), 9)
    header = pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))


def draw(folder: Path) -> Path:
    """Draws all tanks into a folder; returns the file of labels, which has the paths of the images."""
    (folder / "images").mkdir()
    with (folder / "labels.jsonl").open("w", encoding="utf-8") as labels:
        for level in LEVELS:
            name = f"images/tank-{level:03}.png"
            (folder / name).write_bytes(gauge(level))
            print(json.dumps({"messages": [question(name), {"role": "assistant", "content": reading(level)}]}), file=labels)
    return folder / "labels.jsonl"


def question(image: str, text: str = QUESTION) -> dict[str, object]:
    """Builds a question about an image, given as a path, a URL or a data URL."""
    return {"role": "user", "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": image}}]}


def reading(level: int) -> str:
    """The answer that the model learns, in a format that a program can parse."""
    return f"level={level}% " + ("REFILL" if level < 20 else "OK")


# %% From labels to rows
def load_rows(labels: Path) -> TrainingData:
    """Loads rows with the images. A label with a path outside `root` is an error."""
    return load(labels, root=labels.parent)


# %% The same image to both models
def answer(client: Together, model: str, text: str) -> str:
    image = "data:image/png;base64," + b64encode(gauge(LEVEL)).decode()
    response = client.chat.completions.create(model=model, messages=[question(image, text)], temperature=0, max_tokens=2000)
    return str(response.choices[0].message.content)


def main() -> None:
    with tuning.connect("Vision: labels and images", QUESTION, "Train a model to read gauges.") as run:
        labels = draw(run.folder)
        prepared = run.write(load_rows(labels), "train.jsonl")
        print(f"  images in them: {prepared.report.has_images}")
        # The vision encoder is trained too, since these images do not look like photographs.
        job = run.train(prepared, model=MODEL, suffix="gauges", n_epochs=3, train_vision=True)

        print(f"\nQuestion: {run.question} It shows a tank at {LEVEL} %")
        with run.answer_of("The original model") as show:
            show(answer(run.client, MODEL, run.question))
        with run.answer_of("The tuned model") as show:
            show(answer(run.client, str(job.model), run.question))


if __name__ == "__main__":
    main()
