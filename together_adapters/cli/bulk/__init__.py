"""`bulk`: many requests and texts, from a checkpoint that the same command continues."""

from __future__ import annotations

from typing import Final

import click

from together_adapters.cli.command import LazyGroup

COMMANDS: Final = {
    "run": ("bulk.run:run", "Send requests as batch jobs or one by one, and write the answers."),
    "embed": ("bulk.embed:embed", "Embed texts, and write the vectors."),
    "status": ("bulk.status:status", "Show what a checkpoint holds."),
}


@click.group(
    "bulk",
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog="""\b
Interrupted, with Ctrl-C or otherwise, the same command continues:
  together-adapters bulk run prompts.jsonl -o answers.jsonl --via batch --max-price 20
""",
)
def bulk() -> None:
    """Send any number of requests or texts; an interrupted command continues when it is given again."""
