"""The base of every command: its session, its `--json`, the printing of its result, and groups that are imported on use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from inspect import cleandoc
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

from together_adapters.cli.exit_codes import error_line
from together_adapters.cli.flags import commands_of, with_flags
from together_adapters.suggestions import suggestion

if TYPE_CHECKING:
    from pathlib import Path

    from click.shell_completion import CompletionItem

    from together_adapters.cli.terminal import Kind
    from together_adapters.client import Together


@dataclass
class Session:
    """One run of the command line, the first argument of every command."""

    secrets: Sequence[str] = field(default=(), repr=False)  # texts that nothing may show
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)  # the global options, as keywords of `Together`
    debug: bool = False
    as_json: bool = False
    context: click.Context | None = field(default=None, repr=False)  # of the command, whose flags are in messages

    @cached_property
    def client(self) -> Together:
        """The client, created on first use: many commands need no key."""
        from together_adapters.client import Together

        return Together(**self.settings)

    def show(self, result: Any) -> int:
        """Prints a result: see `output.render`."""
        from together_adapters.cli.output import render

        return render(result, as_json=self.as_json)

    def download(self, url: str, path: Path, *, overwrite: bool) -> None:
        """Downloads an address of a storage provider, which does not get the key, into a file."""
        from together_adapters.cli.terminal import progress_bar
        from together_adapters.resources.downloads import download_file
        from together_adapters.transport.call import Call

        call = Call("GET", url, lambda response: None, external=True)
        with progress_bar("bytes") as show:
            self.client.perform(download_file(call, path, overwrite=overwrite, progress=show))

    def error_line(self, error: BaseException) -> str:
        """Returns the message of an error in one line."""
        return error_line(error, self.secrets, *commands_of(self.context))

    def with_flags(self, text: str) -> str:
        """Returns a message of the library with the flags of the command."""
        return with_flags(text, *commands_of(self.context))

    def close(self) -> None:
        """Closes the client, if there is one."""
        if "client" in self.__dict__:
            self.client.close()


@contextmanager
def _best_suggestion() -> Iterator[None]:
    """Leaves of click's suggestions for an option the best one: it would sort them by name. An argument is no option."""
    try:
        yield
    except click.NoSuchOption as error:
        parameters = error.ctx.command.params if error.ctx else []
        names = [str(each.name) for each in parameters if isinstance(each, click.Argument)]
        if (name := error.option_name.lstrip("-").replace("-", "_")) in names:
            raise click.UsageError(f"{name.upper()} is passed without {error.option_name}", error.ctx) from None
        raise click.NoSuchOption(error.option_name, possibilities=list(error.possibilities or ())[:1], ctx=error.ctx) from None


class Command(click.Command):
    """A command with `--json`. Its function takes the session first, what it returns is printed; examples are its epilog."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        text, separator, examples = cleandoc(self.help or "").partition("\n\nExample")
        if separator:
            self.help, self.epilog = text, f"\b\nExample{examples}"
        self.params.append(click.Option(["--json"], is_flag=True, help="Print one JSON document."))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _best_suggestion():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> int:
        assert self.callback is not None
        session = ctx.ensure_object(Session)
        session.context = ctx
        session.as_json = ctx.params.pop("json")
        return session.show(ctx.invoke(self.callback, session, **ctx.params))


class Group(click.Group):
    """A group of such commands. `resource` is the client's attribute that `add_call` uses, by default the one of its name."""

    command_class = Command

    def __init__(self, *args: Any, resource: str | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._resource = resource or str(self.name).replace("-", "_")

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Says which command may be meant by one that does not exist."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            names = self.list_commands(ctx)
            inner = next((f" (do you mean {name!r}?)" for name in names if name.startswith(f"{args[0]}.")), "")
            if hint := suggestion(args[0], names, {}) or inner:
                raise click.UsageError(f"no such command {args[0]!r}{hint}", ctx) from error
            raise

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without a command, shows the help as an error; click before 8.2 prints it as a result."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            raise click.UsageError(ctx.get_help(), ctx)
        with _best_suggestion():
            return super().parse_args(ctx, args)

    def add_call(
        self,
        name: str,
        help: str,
        *options: Callable[[Any], Any],
        part: str | None = None,
        bar: Kind | None = None,
        **display: Any,
    ) -> None:
        """Adds a command that calls the client's method of its name, such as `files.list`, and prints the result or a part of it.

        Its arguments are passed by position, its options by keyword; `display` has keywords of `Result`.
        """
        method = attrgetter(f"{self._resource}.{name.replace('-', '_')}")

        def call(session: Session, /, **values: Any) -> Any:
            from together_adapters.cli.output import Result
            from together_adapters.cli.terminal import with_bar

            function = method(session.client)
            arguments = _take_arguments(command, values)
            result = with_bar(bar, function, *arguments, **values) if bar else function(*arguments, **values)
            return Result(getattr(result, part) if part else result, **display)

        for option in reversed(options):
            option(call)
        command = self.command(name, help=help)(call)

    def add_delete(self, kind: str, help: str, *options: Callable[[Any], Any]) -> None:
        """Adds the command `delete`, whose argument is the id of what it deletes; it prints the id."""
        method = attrgetter(f"{self._resource}.delete")

        def call(session: Session, /, **values: Any) -> Any:
            from together_adapters.cli.output import Result
            from together_adapters.cli.terminal import note, write

            (id,) = _take_arguments(command, values)
            method(session.client)(id, **values)
            note(f"Deleted {kind} {id}.")
            return Result({"id": id, "deleted": True}, lambda _: write(f"{id}\n"))

        for option in reversed(options):
            option(call)
        command = self.command("delete", help=help)(call)


def _take_arguments(command: click.Command, values: dict[str, Any]) -> list[Any]:
    """Takes the values of a command's arguments out, in their order."""
    return [values.pop(str(parameter.name)) for parameter in command.params if isinstance(parameter, click.Argument)]


class LazyGroup(Group):
    """A group of commands that are imported on use: for each name, `lazy` has its module and attribute, and a line of help."""

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"together_adapters.cli.{module}"), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        items = [CompletionItem(name, help=text) for name, (_, text) in self._lazy.items() if name.startswith(incomplete)]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])
