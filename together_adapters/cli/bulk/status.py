"""`bulk status`: what a checkpoint holds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.options import EXISTING_FILE
from together_adapters.cli.output import Result
from together_adapters.cli.terminal import write


@click.command("status", cls=Command)
@click.argument("checkpoint", type=EXISTING_FILE)
def status(session: Session, /, checkpoint: Path) -> Result:
    """Show how far a run has come, by its checkpoint. Needs no key and no network, and may run beside it."""
    from together_adapters.bulk.status import RunStatus, read_status

    def show(_: object) -> None:
        write(_describe(state))

    def _describe(state: RunStatus) -> str:
        if state.kind == "vectors":
            return f"{state.total:,} vectors of {state.settings.get('model')}\n"
        failed = f", {state.failed:,} of them failed" if state.failed else ""
        tokens = f"{state.input_tokens:,} input and {state.output_tokens:,} output tokens"
        lines = [f"{state.done:,} of {state.total:,} requests are done{failed}", tokens, *map(_describe_job, state.jobs)]
        return "".join(f"{line}\n" for line in lines)

    def _describe_job(id: str) -> str:
        return f"job {id}: not ended when the run last looked; `together-adapters batches retrieve {id}` asks for its state"

    state = read_status(checkpoint)
    return Result(asdict(state), show)
