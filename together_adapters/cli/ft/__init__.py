"""`ft`: training data, from raw records to a fine-tuned model."""

from __future__ import annotations

from typing import Final

import click

from together_adapters.cli.command import LazyGroup
from together_adapters.cli.ft.atomic_output import exit_on_sigterm

COMMANDS: Final = {
    "check": ("ft.reports:check", "Validate data files. No data is sent."),
    "prepare": ("ft.prepare:prepare", "Convert data of any supported format into a training file."),
    "split": ("ft.prepare:split", "Split a file into training and validation rows."),
    "stats": ("ft.reports:stats", "Show statistics of a file, as tables and as a plot."),
    "diff": ("ft.reports:diff", "Compare a check with the validation by the service, or two reports."),
    "submit": ("ft.jobs:submit", "Check and upload data, show the price, and start a job."),
    "watch": ("ft.jobs:watch", "Follow a job until it has ended."),
    "judge": ("ft.judge:judge", "Let a judge compare the tuned model with its base."),
}


@click.group(
    "ft",
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog="""\b
From conversations to a fine-tuned model:
  together-adapters ft prepare chats.json -o data.jsonl
  together-adapters ft split data.jsonl --validation 0.1 -o data
  together-adapters ft stats data/train.jsonl --picture lengths.png
  together-adapters ft submit data/train.jsonl --validation data/validation.jsonl --n-evals 5 --model NAME --watch
  together-adapters ft judge ft-0a1b2c data/validation.jsonl
""",
)
@click.pass_context
def ft(ctx: click.Context) -> None:
    """Check, prepare and split training data, and fine-tune a model on it.

    Output files are written completely or not at all, and never overwritten without --overwrite. Exit codes: 0 done, 1 invalid
    data, 2 wrong usage, 3 service or network error.
    """
    ctx.call_on_close(exit_on_sigterm())
