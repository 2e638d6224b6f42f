"""`usage`: what was used, by a ledger of this machine or by the service."""

from __future__ import annotations

from typing import Final

import click

from together_adapters.cli.command import LazyGroup

COMMANDS: Final = {
    "ledger": ("usage.ledger:ledger", "Show what a ledger of `Control` holds, by model, tag or day."),
    "costs": ("usage.costs:costs", "Show the costs of a month as the service has them."),
}


class _UsageGroup(LazyGroup):
    """A group of which one command needs no name: `usage usage.sqlite` is `usage ledger usage.sqlite`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*COMMANDS, *ctx.help_option_names):
            args = ["ledger", *args]
        return super().parse_args(ctx, args)


@click.group(
    "usage",
    cls=_UsageGroup,
    lazy=COMMANDS,
    epilog="""\b
A ledger needs no command, nor a key or a network:
  together-adapters usage usage.sqlite --by model,tag.job --since 7d
""",
)
def usage() -> None:
    """Show what was used: by a ledger that `Control(ledger="usage.sqlite")` keeps, or by the service."""
