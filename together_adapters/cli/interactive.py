"""`chat.interactive`: a conversation in the terminal; a failed turn does not end it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import click

from together_adapters.cli.chat_output import ReplyPrinter, print_stream
from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import exit_code
from together_adapters.cli.options import drop_unset, sampling_options
from together_adapters.cli.output import Result, is_terminal, note

_HELP: Final = """\
/help    show this help
/reset   start a new conversation
/exit    leave; so does Ctrl-D
Ctrl-C   stop a reply, or discard a line"""


@click.command("chat.interactive", cls=Command)
@click.option("--system-message", metavar="TEXT", help="System message of the conversation.")
@sampling_options
def interactive(session: Session, /, system_message: str | None, **options: Any) -> Result:
    """Chat with a model in the terminal. /help lists the commands.

    Input from a pipe is read line by line: each line is a message. With --json the conversation is printed at the end.
    """
    conversation = _Conversation(session, system_message, drop_unset(options))
    at_terminal = is_terminal(sys.stdin)
    if at_terminal:
        with suppress(ImportError):
            import readline  # noqa: F401 - line editing and history
        note("Type /exit to leave, /help for help.")
    error_code = 0
    for line in _lines(at_terminal):
        if line.startswith("/"):
            if not conversation.run_command(line.strip()):
                break
        elif line.strip():
            error_code = max(error_code, conversation.send(line))
    return Result(conversation.messages, lambda _: None, 0 if at_terminal else error_code)


class _Conversation:
    """The messages so far."""

    def __init__(self, session: Session, system_message: str | None, params: dict[str, Any]) -> None:
        self._session = session
        self._create = session.client.chat.completions.create
        self._params = params
        self._system = [{"role": "system", "content": system_message}] if system_message else []
        self.messages: list[dict[str, Any]] = [*self._system]

    def run_command(self, command: str) -> bool:
        """Runs a command such as `/reset`; returns whether to continue."""
        if command == "/exit":
            return False
        if command == "/reset":
            self.messages = [*self._system]
        elif command in ("/help", "/?"):
            note(_HELP)
        else:
            note(f"unknown command {command}; /help lists the commands")
        return True

    def send(self, text: str) -> int:
        """Sends a message and prints the reply; returns 0 or the exit code of an error, which discards the message."""
        message = {"role": "user", "content": text}
        printer = ReplyPrinter(quiet=self._session.as_json)
        try:
            with self._create(messages=[*self.messages, message], stream=True, **self._params) as chunks:
                print_stream(chunks, printer)
        except KeyboardInterrupt:
            note("\nstopped; this message was discarded")
            return 0
        except BrokenPipeError:
            raise
        except Exception as error:
            note(self._session.error_line(error))
            return exit_code(error)
        self.messages += [message, {"role": "assistant", "content": printer.text}]
        return 0


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
            note("")
        except EOFError:
            note("")
            return
