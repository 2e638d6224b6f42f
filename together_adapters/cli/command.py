"""The base of every command: its session, its `--json`, the printing of its result, and groups that are imported on use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from inspect import cleandoc
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from together_adapters.cli.exit_codes import error_line

if TYPE_CHECKING:
    from together_adapters.client import Together


@dataclass
class Session:
    """One run of the command line, the first argument of every command.

    Attributes:
        settings: The global options, as keywords of `Together`.
        debug: Whether to log requests and to show tracebacks.
        as_json: Whether `--json` was passed.
        hidden: Further secrets that no error message may repeat.
        command: The command that runs, whose flags error messages name.
    """

    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    debug: bool = False
    as_json: bool = False
    hidden: list[str] = field(default_factory=list, repr=False)
    command: click.Command | None = None

    @cached_property
    def client(self) -> Together:
        """The client, created on first use: many commands need no key."""
        from together_adapters.client import Together

        return Together(**self.settings)

    @property
    def secrets(self) -> list[str]:
        """Texts that nothing may show."""
        secrets = (self.settings.get("api_key"), os.environ.get("TOGETHER_API_KEY"), *self.hidden)
        return [secret for secret in secrets if secret]

    def hide(self, *secrets: str | None) -> None:
        """Keeps these texts out of error messages."""
        self.hidden += [secret for secret in secrets if secret]

    def show(self, result: Any) -> int:
        """Prints a result: see `output.render`."""
        from together_adapters.cli.output import render

        return render(result, as_json=self.as_json)

    def error_line(self, error: BaseException) -> str:
        """Returns the message of an error in one line."""
        return error_line(error, self.secrets, self.command)

    def close(self) -> None:
        """Closes the client, if there is one."""
        if "client" in self.__dict__:
            self.client.close()


class Command(click.Command):
    """A command with `--json`. Its function takes the session first, and what it returns is printed.

    Examples in its docstring are shown below its options.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        text, separator, examples = cleandoc(self.help or "").partition("\n\nExample")
        if separator:
            self.help, self.epilog = text, f"\b\nExample{examples}"
        self.params.append(
            click.Option(["--json"], is_flag=True, expose_value=False, callback=_set_json, help="Print one JSON document.")
        )

    def invoke(self, ctx: click.Context) -> int:
        assert self.callback is not None
        session = ctx.ensure_object(Session)
        session.command = self
        return session.show(ctx.invoke(self.callback, session, **ctx.params))


def _set_json(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.ensure_object(Session).as_json = True


class Group(click.Group):
    """A group of such commands."""

    command_class = Command

    def add_call(self, name: str, argument: str, method: str, help: str) -> None:
        """Adds a command that passes its argument to a method of the client, such as `files.retrieve`, and prints the response."""

        @self.command(name, help=help)
        @click.argument(argument)
        def call(session: Session, **arguments: Any) -> Any:
            return attrgetter(method)(session.client)(*arguments.values())


class LazyGroup(Group):
    """A group whose commands are imported on use.

    Args:
        package: The package of their modules.
        lazy: For each name its module and attribute, `files:files`, and a line of help.
    """

    def __init__(self, *args: Any, package: str, lazy: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self._package = package
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, (target, _) in self._lazy.items() if find_spec(self._module(target)) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        target = self._lazy[cmd_name][0]
        command: click.Command = getattr(import_module(self._module(target)), target.partition(":")[2])
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=self._lazy[name][1]) for name in names]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._lazy[name][1]) for name in self.list_commands(ctx)])

    def _module(self, target: str) -> str:
        return f"{self._package}.{target.partition(':')[0]}"
