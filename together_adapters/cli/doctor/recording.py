"""What was observed as data, with which the emulator can be started: `doctor.json` in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from together_adapters.cli.ft.atomic_output import write_atomically
from together_adapters.cli.output import to_json

FILE: Final = "doctor.json"
_VERSION: Final = 1


def write_record(folder: Path, report: Mapping[str, Any]) -> Path:
    """Writes the data of a report into a folder, over those of an earlier one: no key, no names of the account."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [*report["calls"], *report["questions"]]
    data = {
        "version": _VERSION,
        "recorded_on": report["date"],
        "host": report["host"],
        "library": report["versions"],
        "model": report["model"],
        "limits": report["limits"],
        "facts": {row["name"]: row["facts"] for row in rows if row["status"] == "seen"},
        "not_seen": {row["name"]: row["words"] for row in rows if row["status"] != "seen"},
    }
    path = folder / FILE
    write_atomically(path, f"{to_json(data)}\n".encode(), overwrite=True)
    return path
