"""What a run of batch jobs costs for each prompt, against writing and reading the same lines with orjson and keeping nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from tests.benchmarks.batch_server import answer_lines
from tests.benchmarks.measure import Bench, Builder, Goal, Operation
from tests.benchmarks.payloads import KEY, MODEL
from tests.server_process import server_process
from together_adapters import Together

PROMPTS: Final = 50_000


def bodies(count: int = PROMPTS) -> list[dict[str, Any]]:
    """Return short chats."""
    texts = (f"Say in one sentence what number {number} is known for, and in which century it was." for number in range(count))
    return [{"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 100} for text in texts]


class _Runs:
    """A client, a server, and a folder for checkpoints, of which each run has a new one."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        port = int(self._stack.enter_context(server_process("tests.benchmarks.batch_server")))
        self.client = self._stack.enter_context(Together(api_key=KEY, base_url=f"http://127.0.0.1:{port}/v1"))
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.close = self._stack.close
        self._count = 0

    def run(self, inputs: list[Any], read: Callable[[Iterable[Any]], int]) -> int:
        """Run all inputs as jobs; return what `read` makes of the results."""
        self._count += 1
        results = self.client.batches.run(inputs, checkpoint=self.folder / f"{self._count}.sqlite", poll_interval=0.01)
        count = read(results)
        results.close()
        return count


class _Lines:
    """The same lines, written and read with orjson."""

    def __init__(self, inputs: list[Any], folder: Path) -> None:
        self._inputs = inputs
        self._requests = folder / "requests.jsonl"
        self._answers = folder / "answers.jsonl"
        lines = answer_lines([f"{number:032x}".encode() for number in range(len(inputs))])
        self._answers.write_bytes(lines)
        self._values = [*map(orjson.loads, lines.splitlines())]

    def write_requests(self) -> int:
        """Write the lines of the requests, as they are uploaded."""
        return _write(self._requests, ({"custom_id": str(number), "body": body} for number, body in enumerate(self._inputs)))

    def read_answers(self) -> int:
        """Read the lines of the answers."""
        return _read(self._answers)

    def read_requests(self) -> int:
        """Read the lines of the requests."""
        return _read(self._requests)

    def write_answers(self) -> int:
        """Write the lines of the answers."""
        return _write(self._answers, self._values)


def _write(path: Path, values: Iterable[Any]) -> int:
    with path.open("wb") as file:
        return sum(file.write(orjson.dumps(value) + b"\n") > 0 for value in values)


def _read(path: Path) -> int:
    with path.open("rb") as file:
        return sum(orjson.loads(line) is not None for line in file)


def _count(results: Iterable[Any]) -> int:
    """Go through the results without a look at the responses."""
    return sum(item.error is None for item in results)


def _count_answers(results: Iterable[Any]) -> int:
    """Read each answer."""
    return sum(bool(item.response.choices[0].message.content) for item in results)


def _jobs(name: str, bench: Bench, *, read: Callable[[Iterable[Any]], int], both: bool) -> Operation:
    runs = bench.keep(_Runs())
    inputs = bodies()
    lines = _Lines(inputs, runs.folder)
    once = (lines.write_requests, lines.read_answers)
    baseline = (*once, lines.read_requests, lines.write_answers) if both else once
    goal = Goal(1.3) if read is _count else None  # models cost what pydantic takes
    return Operation(name, lambda: runs.run(inputs, read), baseline, goal, per=PROMPTS)


OPERATIONS: Final[dict[str, Builder]] = {
    "batch run, vs all lines written and read": partial(_jobs, read=_count, both=True),
    "batch run, vs requests written, answers read": partial(_jobs, read=_count, both=False),
    "batch run with models, vs all lines": partial(_jobs, read=_count_answers, both=True),
}
