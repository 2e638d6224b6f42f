"""`ft`: training data from a shell, from what you hold to a tuned model."""

from __future__ import annotations

from typing import Final

import click

from together_adapters.cli.command import LazyGroup
from together_adapters.cli.ft.atomic_output import end_tidily

COMMANDS: Final = {
    "check": ("check:check", "Find every fault in data files. Nothing is sent."),
    "prepare": ("prepare:prepare", "Turn data of any common form into a file that trains."),
    "split": ("split:split", "Divide a file into rows to train on and rows to measure with."),
    "stats": ("stats:stats", "Show what is in a file, as tables and as a picture."),
    "diff": ("diff:diff", "Compare our check of a file with the service's, or two reports."),
    "submit": ("submit:submit", "Check, upload, show the price, and start a job."),
    "watch": ("watch:watch", "Follow a job until it has ended."),
}


@click.group(
    "ft",
    cls=LazyGroup,
    package="together_adapters.cli.ft",
    lazy=COMMANDS,
    epilog="""\b
From conversations to a tuned model:
  together-adapters ft prepare chats.json -o data.jsonl
  together-adapters ft split data.jsonl --validation 0.1 -o data
  together-adapters ft stats data/train.jsonl --picture lengths.png
  together-adapters ft submit data/train.jsonl --validation data/validation.jsonl --n-evals 5 --model NAME --watch
""",
)
@click.pass_context
def ft(ctx: click.Context) -> None:
    """Check, prepare and split training data, and train on it.

    A command writes whole files or none, and replaces none unasked. Exit codes: 0 done, 1 the data is not right, 2 usage,
    3 the service or the network.
    """
    ctx.call_on_close(end_tidily())
