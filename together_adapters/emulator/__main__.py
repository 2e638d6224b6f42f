"""`python -m together_adapters.emulator`: runs the emulator until a signal. The first line of stdout is the base URL.

The next two set the variables by which clients find it, ready to paste. A line on stderr says what it answers.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence

from together_adapters.emulator import Behaviour, Limits, serve
from together_adapters.emulator.remote.engines import command_line_engines
from together_adapters.suggestions import suggestion


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGINT or SIGTERM; returns the exit code."""
    parser = argparse.ArgumentParser(prog="together_adapters.emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--strict", action="store_true", help="answer as the service of today, which serves and accepts less")
    parser.add_argument(
        "--model", dest="models", action="append", metavar="NAME[=TYPE]",
        help="serve only this model, such as BAAI/bge-m3=embedding; can be repeated",
    )  # fmt: skip
    parser.add_argument("--any-model", action="store_true", help="answer by any name of a model; else an unknown one gets a 404")
    parser.add_argument("--api-key", help="the only key to accept (default: any but `invalid` and `bad...`)")
    parser.add_argument("--allow-code-execution", action="store_true", help="let the code interpreter run code on this machine")
    parser.add_argument(
        "--allowed-host", dest="allowed_hosts", action="append", default=[], metavar="HOST",
        help="answer requests to this host too, such as emulator or *.example.com; can be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--limit", dest="limits", action="append", default=[], metavar="NAME=NUMBER",
        help="refuse more than requests-per-minute=60, tokens-per-minute=10000 or concurrent=4; can be repeated. Several are "
        "separated by semicolons; those with at=30 replace them after that many seconds",
    )  # fmt: skip
    parser.add_argument("--job-seconds", type=float, default=1.5, help="how long a fine-tune takes (default: %(default)s)")
    parser.add_argument(
        "--engine", dest="engines", action="append", default=[], metavar="[KINDS=]URL",
        help="let an OpenAI-compatible server answer chat, completions and embeddings, or only these kinds, such as "
        "embeddings=http://127.0.0.1:8001/v1; can be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--engine-model", dest="engine_models", action="append", default=[], metavar="[NAME=]NAME",
        help="the engine's name for every model, or for the first name; can be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--engine-key", default=os.environ.get("TOGETHER_EMULATOR_ENGINE_KEY"), metavar="KEY",
        help="the key that the engine wants (default: TOGETHER_EMULATOR_ENGINE_KEY, or none)",
    )  # fmt: skip
    parser.add_argument(
        "--as-recorded", metavar="DIR", help="answer as the service did when `together-adapters doctor --record DIR` was run"
    )  # fmt: skip
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:
        flag = unknown[0].partition("=")[0]
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{suggestion(flag, parser._option_string_actions)}")
    options = vars(parsed)
    engine = options.pop("engines"), options.pop("engine_key"), options.pop("engine_models")
    behaviour = Behaviour(strict=True) if options.pop("strict") else None
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        options["limits"] = Limits.parse(options["limits"])
        options["engine"] = command_line_engines(*engine)
        with serve(**options, behaviour=behaviour, keep=1_000) as emulator:
            sys.stdout.write(f"{emulator.base_url}\n{emulator.exports}")
            sys.stdout.flush()
            sys.stderr.write(f"{emulator.offer}\n")
            stop.wait()
    except ValueError as error:
        parser.error(str(error))
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"cannot listen on {options['host']}:{options['port']}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
