"""`chat.interactive`: a conversation, turn by turn, that a failed turn does not end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import click

from together_adapters.cli.arguments import given, sampling
from together_adapters.cli.chat_output import Reply, stream_reply
from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import exit_code, one_line
from together_adapters.cli.output import document, is_terminal, note

_HELP: Final = """\
/help    show this
/reset   forget the conversation
/exit    leave; so does Ctrl-D
Ctrl-C   stop an answer, or forget a line"""


@click.command("chat.interactive", cls=Command)
@click.option("--system-message", metavar="TEXT", help="What the model is told before anything else.")
@sampling
@click.pass_context
def interactive(ctx: click.Context, /, system_message: str | None, **options: Any) -> None:
    """Talk to a model, turn by turn. /help lists what else can be typed.

    Lines can be piped in as well: each is a turn. With --json the whole conversation is printed at the end.
    """
    session: Session = ctx.obj
    talk = _Conversation(session, system_message, given(options))
    at_terminal = is_terminal(sys.stdin)
    if at_terminal:
        with suppress(ImportError):
            import readline  # noqa: F401 - lines can be edited, and old ones come back
        note("Type /exit to leave, /help for help.")
    failed = 0
    for line in _lines(at_terminal):
        if line.startswith("/"):
            if not talk.obey(line.strip()):
                break
        elif line.strip():
            failed = max(failed, talk.turn(line))
    if session.as_json:
        document(talk.messages)
    ctx.exit(0 if at_terminal else failed)


class _Conversation:
    """What was said so far."""

    def __init__(self, session: Session, system_message: str | None, params: dict[str, Any]) -> None:
        self._session = session
        self._create = session.client.chat.completions.create
        self._params = params
        self._system = [{"role": "system", "content": system_message}] if system_message else []
        self.messages: list[dict[str, Any]] = [*self._system]

    def obey(self, command: str) -> bool:
        """Do what a line with a slash says; return whether to go on."""
        if command == "/exit":
            return False
        if command == "/reset":
            self.messages = [*self._system]
        elif command in ("/help", "/?"):
            note(_HELP)
        else:
            note(f"there is no {command}; /help lists what there is")
        return True

    def turn(self, line: str) -> int:
        """Ask, and show the answer; return 0, or the exit code of what went wrong. A failed turn is forgotten."""
        asked = {"role": "user", "content": line}
        reply = Reply(shows=not self._session.as_json)
        try:
            with self._create(messages=[*self.messages, asked], stream=True, **self._params) as chunks:
                stream_reply(chunks, reply)
        except KeyboardInterrupt:
            note("\nstopped; this turn is forgotten")
            return 0
        except BrokenPipeError:
            raise
        except Exception as problem:
            note(one_line(problem, self._session.secrets))
            return exit_code(problem)
        self.messages += [asked, {"role": "assistant", "content": reply.text}]
        return 0


def _lines(at_terminal: bool) -> Iterator[str]:
    """Give what is typed, or the lines of a pipe."""
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
