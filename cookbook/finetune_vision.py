# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator,finetune]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Teach a model to read your pictures: labels in a file, images in a folder, and rows that carry the images with them.

You learn to turn labels that name images by path into rows that hold them as data, which is the form that is trained on; that
paths are read below a folder you name, and nowhere else; and to ask a model about a picture.

It draws gauges, prints what became of their labels, the job, and what the model reads from a gauge before and after.

Live (`TOGETHER_API_KEY` is set) it starts a training job, which costs money: with this little data a dollar or less, shown before
it starts and to be agreed to (`--yes` agrees). Which models can be trained changes: put one that sees at `MODEL`. Without a key
it runs on the emulator, where nothing costs anything. It does not see: a tuned model recognises the pictures it was trained with.

    python cookbook/finetune_vision.py --folder gauges
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
ASKED = 35  # the level on the picture that both models are asked about
SIZE = 64
FULL, EMPTY, FRAME = b"\x2f\x6f\xb0", b"\xf2\xf2\xf2", b"\x30\x30\x30"


# %% The pictures: a PNG is a header, compressed lines of pixels, and an end
def gauge(level: int) -> bytes:
    """Draw a tank that is full to some per cent."""
    border = b"\0" + FRAME * SIZE  # each line begins with its filter: none
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
    """Draw all tanks into a folder; return the file of labels, which names the images by their paths in it."""
    (folder / "images").mkdir()
    with (folder / "labels.jsonl").open("w", encoding="utf-8") as labels:
        for level in LEVELS:
            name = f"images/tank-{level:03}.png"
            (folder / name).write_bytes(gauge(level))
            print(json.dumps({"messages": [question(name), {"role": "assistant", "content": reading(level)}]}), file=labels)
    return folder / "labels.jsonl"


def question(image: str, text: str = QUESTION) -> dict[str, object]:
    """A question about an image: a path, an address, or the data themselves."""
    return {"role": "user", "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": image}}]}


def reading(level: int) -> str:
    """What the model is to say, in the one form that a program can read."""
    return f"level={level}% " + ("REFILL" if level < 20 else "OK")


# %% From labels to rows
def rows_of(labels: Path) -> TrainingData:
    """Rows with the images in them. Only what lies below `root` is read; a label that names another file is refused."""
    return load(labels, root=labels.parent)


# %% The same picture to both models
def answer(client: Together, model: str, text: str) -> str:
    image = "data:image/png;base64," + b64encode(gauge(ASKED)).decode()
    told = client.chat.completions.create(model=model, messages=[question(image, text)], temperature=0, max_tokens=500)
    return str(told.choices[0].message.content)


def main() -> None:
    with tuning.connect("Vision: labels and images", QUESTION, "Train a model to read gauges.") as run:
        labels = draw(run.folder)
        prepared = run.write(rows_of(labels), "train.jsonl")
        print(f"  images in them: {prepared.report.has_images}")
        # The part of the model that sees is trained too: these pictures look like no photograph.
        job = run.train(prepared, model=MODEL, suffix="gauges", n_epochs=3, train_vision=True)

        print(f"\nQuestion: {run.question} It shows a tank at {ASKED} %")
        run.tell("The model as it was", answer(run.client, MODEL, run.question))
        run.tell("The tuned model", answer(run.client, str(job.model), run.question))


if __name__ == "__main__":
    main()
