"""`images`: generated files, which overwrite nothing unless asked to."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run, one_error
from together_adapters.emulator import Emulator

IMAGE = ("images", "generate", "a cat", "--model", "black-forest-labs/FLUX.1-schnell", "--width", 64, "--height", 64)


def test_images_are_saved_and_overwritten_only_on_request(run: Run, tmp_path: Path, emulator: Emulator) -> None:
    result = run(*IMAGE, "--n", 2, "--seed", 3)
    assert result.out.splitlines()[0] == f"Image [1/2] saved to {tmp_path / 'image-0.png'}"
    first = (tmp_path / "image-0.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert (tmp_path / "image-1.png").exists()
    error = one_error(run(*IMAGE, code=2))
    assert "--overwrite" in error
    assert len(emulator.requests) == 1
    assert (tmp_path / "image-0.png").read_bytes() == first
    jpeg = run(*IMAGE, "--output-format", "jpeg", "--prefix", "other-", "--json").json
    assert Path(jpeg["images"][0]["path"]).read_bytes().startswith(b"\xff\xd8")
    run(*IMAGE, "--seed", 4, "--overwrite")
    assert (tmp_path / "image-0.png").read_bytes() != first
