"""`completion`: a script that completes commands and options in a shell."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from together_adapters.cli.command import Command, Session
from together_adapters.cli.output import Result, write

_VARIABLE: Final = "_TOGETHER_ADAPTERS_COMPLETE"


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(session: Session, shell: str) -> Result:
    """Print a shell completion script.

    \b
    bash: eval "$(together-adapters completion bash)"       in ~/.bashrc
    zsh:  eval "$(together-adapters completion zsh)"        in ~/.zshrc
    fish: together-adapters completion fish | source        in ~/.config/fish/config.fish
    """  # noqa: D301 - a backspace tells click to keep the lines
    root = click.get_current_context().find_root()
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(root.command, {}, root.info_name or "", _VARIABLE).source()
    return Result({"shell": shell, "script": script}, lambda data: write(f"{data['script']}\n"))
