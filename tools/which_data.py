"""Writes `docs/which-data.md` from the forms that the library declares: `python tools/which_data.py`; a test compares them."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import get_args, get_type_hints

from together_adapters.cli.flags import with_flags
from together_adapters.cli.ft.prepare import prepare
from together_adapters.finetune.forms import FORMS, Form
from together_adapters.finetune.writing.fixes import Fixes

PAGE = Path(__file__).parent.parent / "docs" / "which-data.md"
HEAD = """# Which data do I have?

<!-- Written by tools/which_data.py -->

Find the row that looks like the first record of your data. The command writes a file that trains, `train.jsonl`, and a report next to it;
in Python, `load("data.jsonl")` takes the arguments of the last column. Without a flag, the form is recognized.
To install it: `pip install "together-adapters[cli,finetune,emulator]"`.
Until 0.1.0 is released, it is installed [from a clone](configuration.md).

| data | looks like | command | in Python |
|---|---|---|---|
"""
FOOT = """
`data.jsonl` may also be `.json`, `.csv`, `.tsv`, `.parquet` or `.arrow`, a folder, a compressed file, or a page of an API. A system prompt, tools or images may
stand in columns beside any conversation.

- Another name for a column: `--column prompt=NAME`, in Python `columns={"prompt": "NAME"}`.
- A column that the command refuses to lose, such as a score, or the `scores` and `feedback_stats` of traces: all answers would be trained as good.
  `--leave-out NAME` trains on all rows without it; in Python `load(path, select=...)` keeps the good calls of traces.
- Files of several formats, such as chats and a table of questions: `--form conversation` makes one file of them, in Python
  `load(path, form="conversation")`. `--on-error drop` leaves no rows out because of their format.
- Rows that are invalid: `--on-error drop` leaves them out, in Python `write_jsonl(data, path, fixes=Fixes(on_error="drop"))`; [fixes](#fixes) mend them.
- What was left out is in the table after the command, and in `train.report.json`. With `--fail-on warning` it ends with exit code 1.

## Fixes

What is done to rows before they are checked; the table `Changed` and the report count each. In Python, `Fixes(merge_consecutive=True,
reasoning="drop")`; fixes that cannot change what is trained are on.

| fix | unless you say otherwise | what it does | to change that |
|---|---|---|---|
"""


def command(form: Form) -> str:
    """The command that reads a form."""
    flags = with_flags(" ".join(f"{name}={value!r}" for name, value in form.arguments.items()), prepare)
    return f"together-adapters ft prepare data.jsonl -o train.jsonl {flags}".rstrip()


def fixes() -> list[str]:
    """The rows of the table of fixes, from the docstring of the class."""
    texts = dict(re.findall(r"^    (\w+): ((?:.|\n     )+)", inspect.getdoc(Fixes) or "", re.MULTILINE))
    hints = get_type_hints(Fixes)
    lines = []
    for field in dataclasses.fields(Fixes):
        if field.name in ("on_error", "leave_out"):
            continue
        if isinstance(field.default, bool):
            default, flags = ("on", [f"{field.name}=off"]) if field.default else ("off", [field.name])
        else:
            default = f"`{field.default}`"
            flags = [f"{field.name}={choice}" for choice in get_args(hints[field.name]) if choice != field.default]
        text = " ".join(texts[field.name].split())
        lines.append(f"| `{field.name}` | {default} | {text} | {', '.join(f'`--fix {flag}`' for flag in flags)} |\n")
    return lines


def page() -> str:
    """The whole page."""
    lines = []
    for form in FORMS:
        looks = "<br>".join(f"`{json.dumps(row, ensure_ascii=False)}`" for row in form.rows).replace("|", "\\|")
        arguments = ", ".join(f"{name}={json.dumps(value)}" for name, value in form.arguments.items())
        lines.append(f"| {form.about} | {looks} | `{command(form)}` | {f'`{arguments}`' if arguments else ''} |\n")
    return HEAD + "".join(lines) + FOOT + "".join(fixes())


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
