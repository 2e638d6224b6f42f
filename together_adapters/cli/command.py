"""What every command is made of: the session that it runs in, its `--json`, and groups that are imported when they are used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from together_adapters.client import Together


@dataclass
class Session:
    """One run of the command line, which every command gets with `click.pass_obj`.

    Attributes:
        settings: The global options, as keywords of `Together`.
        debug: Whether to log, and to show tracebacks.
        as_json: Whether to print one JSON document.
        hidden: Further secrets that no error may repeat.
    """

    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    debug: bool = False
    as_json: bool = False
    hidden: list[str] = field(default_factory=list, repr=False)

    @cached_property
    def client(self) -> Together:
        """The client, made when a command first needs it: many need no key."""
        from together_adapters.client import Together

        return Together(**self.settings)

    @property
    def secrets(self) -> list[str]:
        """Texts that nothing may show."""
        known = (self.settings.get("api_key"), os.environ.get("TOGETHER_API_KEY"), *self.hidden)
        return [secret for secret in known if secret]

    def hide(self, *secrets: str | None) -> None:
        """Let no error repeat these."""
        self.hidden += [secret for secret in secrets if secret]

    def close(self) -> None:
        """Close the connections, if there are any."""
        if "client" in self.__dict__:
            self.client.close()


class Command(click.Command):
    """A command with `--json`, which it finds in its session."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params.append(
            click.Option(["--json"], is_flag=True, expose_value=False, callback=_want_json, help="Print one JSON document.")
        )


def _want_json(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.ensure_object(Session).as_json = True


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


class LazyGroup(Group):
    """A group whose commands are imported when they are used.

    Args:
        package: Where their modules are.
        lazy: For each name its module and attribute, `files:files`, and a line of help.
    """

    def __init__(self, *args: Any, package: str, lazy: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self._package = package
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, (home, _) in self._lazy.items() if find_spec(self._module(home)) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        home = self._lazy[cmd_name][0]
        found: click.Command = getattr(import_module(self._module(home)), home.partition(":")[2])
        return found

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=self._lazy[name][1]) for name in names]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._lazy[name][1]) for name in self.list_commands(ctx)])

    def _module(self, home: str) -> str:
        return f"{self._package}.{home.partition(':')[0]}"
