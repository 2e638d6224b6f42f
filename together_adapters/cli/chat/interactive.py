"""`chat.interactive`: a conversation in the terminal, with what it costs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from together_adapters.atomic_files import new_files
from together_adapters.cli.chat.reply import ReplyPrinter, print_stream
from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import exit_code
from together_adapters.cli.options import drop_unset, sampling_options
from together_adapters.cli.output import Result, to_json
from together_adapters.cli.terminal import is_terminal, note
from together_adapters.control import Control
from together_adapters.control.dollars import format_dollars, fraction_digits
from together_adapters.control.usage import Usage

_HELP: Final = """\
/help           show this help
/system TEXT    set the system message; without a text, remove it
/model NAME     go on with another model
/save FILE      write the conversation to a new file, as a row of training data
/reset          start a new conversation
/exit           leave; so do exit, quit and Ctrl-D
Ctrl-C          stop a reply, or discard a line"""
_EXIT_WORDS: Final = frozenset({"exit", "exit()", "quit", "quit()", "bye", ":q"})


@click.command("chat.interactive", cls=Command)
@click.option("--system-message", metavar="TEXT", help="System message of the conversation.")
@sampling_options
def interactive(session: Session, /, system_message: str | None, **options: Any) -> Result:
    """Chat with a model in the terminal. /help lists the commands.

    Each reply is followed by its tokens and their price, as far as it is known. Input from a pipe is read line by line: each line is a
    message. With --json the conversation is printed at the end.
    """
    at_terminal = is_terminal(sys.stdin)
    control = Control()
    chat = _Conversation(session, control, drop_unset(options), system_message, at_terminal)
    if at_terminal:
        with suppress(ImportError):
            import readline  # noqa: F401 - line editing and history
        note("Type /exit to leave, /help for help.")
    error_code = 0
    for line in _lines(at_terminal):
        text = line.strip()
        if text == "/exit" or (at_terminal and text.lower() in _EXIT_WORDS):
            break
        if line.startswith("/"):
            chat.obey(text)
        elif text:
            error_code = max(error_code, chat.send(line))
    if at_terminal and (total := control.ledger.total()).requests:
        note(f"In all: {_usage(total)}.")
    return Result(chat.messages, lambda _: None, 0 if at_terminal else error_code)


@dataclass
class _Conversation:
    """The messages so far, and who answers them."""

    session: Session
    control: Control
    params: dict[str, Any]
    system: str | None
    at_terminal: bool

    def __post_init__(self) -> None:
        self._client = self.session.client.with_options(control=self.control)
        self._turns: list[dict[str, Any]] = []

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The system message, if there is one, and the turns."""
        return [*([{"role": "system", "content": self.system}] if self.system else []), *self._turns]

    def obey(self, text: str) -> None:
        """Executes a command."""
        command, _, argument = text.partition(" ")
        argument = argument.strip()
        if command == "/reset":
            self._turns = []
        elif command in ("/help", "/?"):
            note(_HELP)
        elif command == "/system":
            self.system = argument or None
        elif command == "/model" and argument:
            self.params["model"] = argument
        elif command == "/save" and argument:
            self._save(Path(argument).expanduser())
        elif command in ("/model", "/save"):
            note(f"{command} needs {'a name' if command == '/model' else 'a file'}, such as: {_EXAMPLES[command]}")
        else:
            note(f"unknown command {command}; /help lists the commands")

    def send(self, text: str) -> int:
        """Sends a message, prints the reply and keeps both; returns the exit code of an error, which keeps nothing."""
        message = {"role": "user", "content": text}
        printer = ReplyPrinter(quiet=self.session.as_json, breaks_lines=is_terminal(sys.stdout))
        before = self.control.ledger.total()
        try:
            with self._client.chat.completions.create(messages=[*self.messages, message], stream=True, **self.params) as chunks:
                print_stream(chunks, printer)
        except KeyboardInterrupt:
            note("\nstopped; this message was discarded")
            return 0
        except BrokenPipeError:
            raise
        except Exception as error:
            note(self.session.error_line(error))
            return exit_code(error)
        self._turns += [message, {"role": "assistant", "content": printer.text}]
        if self.at_terminal:
            note(f"({_usage(self.control.ledger.total(), before)})")
        return 0

    def _save(self, path: Path) -> None:
        if not self._turns:
            note("there is nothing to save yet")
            return
        try:
            with new_files({path: False}) as (file,):
                file.write_text(to_json({"messages": self.messages}, indent=None) + "\n", "utf-8")
        except FileExistsError:
            note(f"{path} exists: name another file")
        except OSError as error:
            note(f"error: {path}: {error.strerror or error}")
        else:
            note(f"saved {len(self.messages)} messages to {path}")


_EXAMPLES: Final = {"/model": "/model openai/gpt-oss-120b", "/save": "/save chat.jsonl"}


_NOTHING: Final = Usage()


def _usage(total: Usage, earlier: Usage = _NOTHING) -> str:
    """Returns tokens and dollars in words, of everything or since before."""
    about = "about " if total.estimated > earlier.estimated else ""
    text = f"{about}{total.input_tokens - earlier.input_tokens:,} tokens in, {total.output_tokens - earlier.output_tokens:,} out"
    dollars = total.cost - earlier.cost
    if not dollars:
        return f"{text}, at an unknown price"
    return f"{text}, {format_dollars(dollars, fraction_digits(dollars, 2))}"


def _lines(at_terminal: bool) -> Iterator[str]:
    """Yields the lines of the terminal or of a pipe."""
    if not at_terminal:
        for line in sys.stdin:
            yield line.rstrip("\n")
        return
    while True:
        try:
            yield input(">>> ")
        except KeyboardInterrupt:
            note("\n/exit or Ctrl-D leaves")
        except EOFError:
            note("")
            return
