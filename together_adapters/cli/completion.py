"""`completion`: a script that completes commands and options in a shell."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from together_adapters.cli.command import Command, Session
from together_adapters.cli.output import document, write

_VARIABLE: Final = "_TOGETHER_ADAPTERS_COMPLETE"


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands in your shell.

    \b
    bash: eval "$(together-adapters completion bash)"       in ~/.bashrc
    zsh:  eval "$(together-adapters completion zsh)"        in ~/.zshrc
    fish: together-adapters completion fish | source        in ~/.config/fish/config.fish
    """  # noqa: D301 - a backspace tells click to keep the lines
    session: Session = ctx.obj
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, ctx.find_root().info_name or "", _VARIABLE).source()
    if session.as_json:
        document({"shell": shell, "script": script})
    else:
        write(f"{script}\n")
