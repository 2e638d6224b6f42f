"""A recording names no folder of its machine, and replays in any checkout, where answers name the folders of that one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.testing.conftest import NOWHERE, chat
from together_adapters.emulator import Emulator
from together_adapters.testing import RecordingMissError, record, replay


def move_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a folder the home of a project, and goes there."""
    (folder / "app").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    monkeypatch.chdir(folder / "app")


@pytest.mark.parametrize("stream", [False, True])
def test_a_recording_moves(
    flavour: Any, path: Path, tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    def texts(client: Any) -> list[str]:
        home, app = Path.home(), Path.cwd()
        text = f"file_path: {app}/data/a b.txt\nfile://{app} {home}/notes.txt {home}-old {app}s https://x.example{app}"
        answer = flavour.run(client.chat.completions.create(**chat(text, stream=stream)))
        if stream:
            return ["".join(chunk.choices[0].delta.content or "" for chunk in flavour.iterate(answer) if chunk.choices)]
        return [answer.choices[0].message.content]

    move_to(tmp_path / "ann", monkeypatch)
    folder = str(tmp_path / "ann")
    emulator.reply(f"It is {folder}/app/data/a b.txt, not {folder}/b.txt.")
    with record(path):
        assert texts(flavour.client()) == [f"It is {folder}/app/data/a b.txt, not {folder}/b.txt."]
    content = path.read_text("utf-8")
    assert "file_path: [project folder]/data/a b.txt" in content
    assert content.count(folder) == 2  # names that only begin like a folder
    path.write_text(content.replace(folder, str(tmp_path / "bob")), "utf-8")
    move_to(tmp_path / "bob", monkeypatch)
    folder = str(tmp_path / "bob")
    with replay(path, pace=0):
        assert texts(flavour.client(base_url=NOWHERE)) == [f"It is {folder}/app/data/a b.txt, not {folder}/b.txt."]


def test_a_miss_that_is_only_a_folder(flavour: Any, path: Path, emulator: Emulator) -> None:
    def ask(folder: str) -> Any:
        client = flavour.client() if folder == "/srv/ann" else flavour.client(base_url=NOWHERE)
        text = f"file_path: {folder}/data/a.txt\nfile_path: {folder}/data/b.txt"
        return flavour.run(client.chat.completions.create(**chat(text))).choices[0].message.content

    with record(path):
        ask("/srv/ann")
    with replay(path), pytest.raises(RecordingMissError, match="Only folders differ") as miss:
        ask("/mnt/bob")
    assert r"in the file, write [redacted] for '/srv/ann'; when you record, redact=['/srv/ann'] does it" in str(miss.value)
    assert "anew" not in str(miss.value)
    with replay(path), pytest.raises(RecordingMissError, match="write \\[project folder\\] for '/srv/ann'"):
        ask(str(Path.cwd()))
    with replay(path), pytest.raises(RecordingMissError, match="Record it anew"):
        ask("no folder")
    path.write_text(path.read_text("utf-8").replace("/srv/ann", "[redacted]"), "utf-8")
    with replay(path):
        assert ask("/mnt/bob")


def test_a_file_that_names_a_folder_replays_there(flavour: Any, path: Path, emulator: Emulator) -> None:
    def ask() -> Any:
        return flavour.run(client.chat.completions.create(**chat(f"Read {Path.cwd()}/a.txt.")))

    client = flavour.client()
    with record(path):
        answer = ask()
    path.write_text(path.read_text("utf-8").replace("[project folder]", str(Path.cwd())), "utf-8")
    client = flavour.client(base_url=NOWHERE)
    with replay(path):
        assert ask() == answer
