"""`images`: images that are generated, saved and opened."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from together_adapters.cli.command import Group, Session
from together_adapters.cli.ft.atomic_output import write_atomically
from together_adapters.cli.options import COUNT, EXISTING_FOLDER, drop_unset, overwrite_option, read_text
from together_adapters.cli.output import Result
from together_adapters.cli.terminal import is_terminal, spinner, write
from together_adapters.errors import APIResponseValidationError

if TYPE_CHECKING:
    from together_adapters.types.images import ImageData

_SUFFIXES: Final = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp", b"GIF8": ".gif"}


@click.group("images", cls=Group)
def images() -> None:
    """Generate images."""


@images.command("generate")
@click.argument("prompt")
@click.option("--model", required=True, metavar="NAME", help="Image model.")
@click.option("--steps", type=int, default=20, metavar="N", help="Number of diffusion steps.")
@click.option("--seed", type=int, metavar="N", help="Random seed.")
@click.option("--n", type=COUNT, default=1, metavar="N", help="Number of images.")
@click.option("--height", type=int, default=1024, metavar="PIXELS", help="Height, a multiple of 8.")
@click.option("--width", type=int, default=1024, metavar="PIXELS", help="Width, a multiple of 8.")
@click.option("--negative-prompt", metavar="TEXT", help="Description of what the images should not contain.")
@click.option("--output-format", type=click.Choice(["png", "jpeg"]), default="png", help="File format.")
@click.option("--output", type=EXISTING_FOLDER, default=".", metavar="FOLDER", help="Output folder.")
@click.option("--prefix", default="image-", metavar="TEXT", help="Prefix of the file names.")
@click.option("--no-show", is_flag=True, help="Do not open the images. They are opened only in a terminal.")
@overwrite_option
def generate(
    session: Session, /, prompt: str, output: Path, prefix: str, no_show: bool, overwrite: bool, n: int, **options: Any
) -> Result:
    """Generate images of PROMPT; - reads it from stdin. They are saved as image-0.png, image-1.png and so on."""
    if not overwrite:
        _check_new_files(output, prefix, n)
    prompt = read_text(prompt)
    with spinner("generating"):
        response = session.client.images.generate(prompt=prompt, n=n, response_format="base64", **drop_unset(options))
        contents = [_content(session, image) for image in response.data]
    paths = [_save(content, output, f"{prefix}{index}", overwrite) for index, content in enumerate(contents)]

    def show(_: Any) -> None:
        for number, path in enumerate(paths, 1):
            write(f"Image [{number}/{len(paths)}] saved to {path}\n")
            if not no_show and _has_viewer():
                click.launch(str(path))

    files = [{"path": str(path), "bytes": path.stat().st_size} for path in paths]
    return Result({"model": response.model, "images": files}, show)


def _check_new_files(folder: Path, prefix: str, n: int) -> None:
    """Raises FileExistsError before a request that costs money if an image could overwrite a file."""
    for index in range(n):
        for suffix in (*_SUFFIXES.values(), ".jpeg"):
            path = folder / f"{prefix}{index}{suffix}"
            if path.exists():
                raise FileExistsError(f"{path} already exists: choose another --output or --prefix, or pass --overwrite")


def _content(session: Session, image: ImageData) -> bytes:
    """Returns the bytes of an image, which are downloaded, without the key, where the response has only a URL."""
    if image.b64_json is not None or not image.url:
        try:
            return image.to_bytes()
        except ValueError as error:
            raise APIResponseValidationError(f"an image cannot be decoded: {error}") from None
    from together_adapters.transport.call import Call

    content: bytes = session.client.perform(Call("GET", image.url, lambda response: response.content, external=True))
    return content


def _save(content: bytes, folder: Path, name: str, overwrite: bool) -> Path:
    suffix = next((suffix for magic, suffix in _SUFFIXES.items() if content.startswith(magic)), ".png")
    path = folder / f"{name}{suffix}"
    write_atomically(path, content, overwrite=overwrite)
    return path


def _has_viewer() -> bool:
    desktop = sys.platform in ("darwin", "win32") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return desktop and is_terminal(sys.stdout)
