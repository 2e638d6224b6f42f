"""`images`: draw, save, and show."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from together_adapters.cli.arguments import given, overwrite_option, text_of
from together_adapters.cli.command import Group, Session
from together_adapters.cli.output import document, is_terminal, write
from together_adapters.cli.progress import spinner
from together_adapters.errors import APIResponseValidationError

if TYPE_CHECKING:
    from together_adapters.types.images import ImageData

_ENDINGS: Final = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp", b"GIF8": ".gif"}


@click.group("images", cls=Group)
def images() -> None:
    """Draw images."""


@images.command("generate")
@click.argument("prompt")
@click.option("--model", required=True, metavar="NAME", help="An image model.")
@click.option("--steps", type=int, default=20, show_default=True, metavar="N", help="Rounds of drawing.")
@click.option("--seed", type=int, metavar="N", help="The same seed draws the same image.")
@click.option("--n", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Number of images.")
@click.option("--height", type=int, default=1024, show_default=True, metavar="PIXELS", help="A multiple of 8.")
@click.option("--width", type=int, default=1024, show_default=True, metavar="PIXELS", help="A multiple of 8.")
@click.option("--negative-prompt", metavar="TEXT", help="What not to draw.")
@click.option(
    "--output-format", type=click.Choice(["png", "jpeg"]), default="png", show_default=True, help="What files to ask for."
)
@click.option(
    "--output",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    default=".",
    metavar="FOLDER",
    help="Where to save them; here by default.",
)
@click.option("--prefix", default="image-", show_default=True, metavar="TEXT", help="What their names begin with.")
@click.option("--no-show", is_flag=True, help="Do not open them; a viewer opens only at a terminal.")
@overwrite_option
@click.pass_obj
def generate(
    session: Session, /, prompt: str, output: Path, prefix: str, no_show: bool, overwrite: bool, n: int, **options: Any
) -> None:
    """Draw images of PROMPT; - takes it from stdin. They are saved as image-0.png, image-1.png and so on."""
    if not overwrite:
        _refuse_existing(output, prefix, n)
    prompt = text_of(prompt)
    with spinner("drawing"):
        answered = session.client.images.generate(prompt=prompt, n=n, response_format="base64", **given(options))
        pictures = [(place, _content(session, image)) for place, image in enumerate(answered.data)]
    saved = [_saved(content, output, f"{prefix}{place}", overwrite) for place, content in pictures]
    if session.as_json:
        document({"model": answered.model, "images": [{"path": str(path), "bytes": path.stat().st_size} for path in saved]})
        return
    for number, path in enumerate(saved, 1):
        write(f"Image [{number}/{len(saved)}] saved to {path}\n")
        if not no_show and _has_viewer():
            click.launch(str(path))


def _refuse_existing(folder: Path, prefix: str, n: int) -> None:
    """Refuse before anything is paid.

    Raises:
        FileExistsError: An image would replace a file.
    """
    for place in range(n):
        for ending in (*_ENDINGS.values(), ".jpeg"):
            path = folder / f"{prefix}{place}{ending}"
            if path.exists():
                raise FileExistsError(f"{path} is there already: take another --output or --prefix, or pass --overwrite")


def _content(session: Session, image: ImageData) -> bytes:
    """Return an image, fetched without the key where only its address came."""
    if image.b64_json is not None or not image.url:
        try:
            return image.to_bytes()
        except ValueError as problem:
            raise APIResponseValidationError(f"an image cannot be read: {problem}") from None
    from together_adapters.transport.call import Call

    content: bytes = session.client.perform(Call("GET", image.url, lambda response: response.content, external=True))
    return content


def _saved(content: bytes, folder: Path, name: str, overwrite: bool) -> Path:
    ending = next((ending for magic, ending in _ENDINGS.items() if content.startswith(magic)), ".png")
    path = folder / f"{name}{ending}"
    with path.open("wb" if overwrite else "xb") as file:
        file.write(content)
    return path


def _has_viewer() -> bool:
    desktop = sys.platform in ("darwin", "win32") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return desktop and is_terminal(sys.stdout)
