# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Generate variants of a picture and keep them as files: images with the plain client.

You learn how to receive pictures in the response instead of as URLs that expire; that one request has several pictures, and a seed
makes a picture that can be made again; and how to read what was really delivered, as models round sizes to what they can draw.

It prints a row for each file: its seed, its pixels, its bytes; whether the same seed has drawn the same picture; and it writes a page
that shows them all.

With `TOGETHER_API_KEY` set, it generates four pictures of 512 x 384 (the service's page of prices says what they cost; the model was
not tried with a key). Without a key, it runs on the emulator, whose pictures are patches of colour, and costs nothing.

    uv run cookbook/images_client.py --folder pictures --prompt "a lighthouse in fog"
"""

from __future__ import annotations

import argparse
import html
import struct
import tempfile
from pathlib import Path
from typing import NamedTuple

import session

from together_adapters import Together

MODEL = "black-forest-labs/FLUX.1-schnell"
PROMPT = "A red sailing boat on a calm lake at dawn, in watercolours"
WIDTH, HEIGHT = 512, 384
SEEDS = (7, 8, 9)


class Picture(NamedTuple):
    """A generated picture, its size as its file says it."""

    seed: int
    content: bytes

    @property
    def pixels(self) -> str:
        """Width and height, which a PNG file has at a fixed position."""
        if not self.content.startswith(b"\x89PNG"):
            return "no PNG"
        width, height = struct.unpack(">II", self.content[16:24])
        return f"{width} x {height}"


# %% The requests
def draw(client: Together, model: str, prompt: str, seed: int) -> Picture:
    """Generates one picture. `n=4` would return four of one prompt, as entries of `data`."""
    response = client.images.generate(
        model=model,
        prompt=prompt,
        width=WIDTH,
        height=HEIGHT,
        steps=4,  # enough for this model; others want 20 to 50
        seed=seed,
        response_format="base64",
        output_format="png",
    )
    return Picture(seed, response.data[0].to_bytes())


# %% The files
def save(pictures: list[Picture], folder: Path, prompt: str) -> None:
    """Writes the pictures and a page with all of them; prints a row for each."""
    print(f"\n{'file':<14} {'seed':>5} {'pixels':>10} {'bytes':>9}")
    for picture in pictures:
        path = folder / f"seed-{picture.seed}.png"
        path.write_bytes(picture.content)
        print(f"{path.name:<14} {picture.seed:>5} {picture.pixels:>10} {len(picture.content):>9,}")
    images = "".join(f'<figure><img src="seed-{seed}.png"><figcaption>{seed}</figcaption></figure>' for seed, _ in pictures)
    (folder / "index.html").write_text(f"<!doctype html><title>Seeds</title><p>{html.escape(prompt)}</p>{images}", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate variants of a picture.")
    parser.add_argument("--prompt", default=PROMPT, help="what the picture shows (default: %(default)s)")
    parser.add_argument("--model", default=MODEL, help="the image model (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="a new folder for the files; without it, they are deleted")
    arguments = parser.parse_args()
    if arguments.folder and arguments.folder.exists() and any(arguments.folder.iterdir()):
        parser.error(f"{arguments.folder} is not empty")
    with session.connect("The client: variants of a picture") as run, tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"Model:    {arguments.model}\nPrompt:   {arguments.prompt}")
        pictures = [draw(run.client, arguments.model, arguments.prompt, seed) for seed in SEEDS]
        save(pictures, folder, arguments.prompt)
        again = draw(run.client, arguments.model, arguments.prompt, SEEDS[0])
        print(f"\nSeed {SEEDS[0]} once more: {'the same' if again == pictures[0] else 'another'} picture")
        files = f"{folder / 'index.html'} shows them" if arguments.folder else "--folder keeps the files"
        print(f"{run.requests} requests; {files}")


if __name__ == "__main__":
    main()
