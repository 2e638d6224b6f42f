"""Compare this tree with another commit: `python -m tests.benchmarks.compare REF`.

The library of that commit is unpacked into a folder, without its tests. Pairs of processes with this tree's benchmark, one on each
library, take short turns, forwards and backwards. The ratio of a round is that of its turns, and the median over the rounds is shown; a
row is slower only if its best turns are, too, because other programs make turns slower and never faster. It reports and never fails:
times differ, and are no test.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

from tests.benchmarks import imports, report
from tests.benchmarks.measure import Pace
from tests.benchmarks.operations import OPERATIONS, matches

_TREE: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("together_adapters", "integrations")
_SLOWER: Final = 1.03
_PAIRS: Final = 2  # of processes: where the memory of one lies makes some rows faster or slower by some per cent
_TURNS: Final = 6  # of each in a round
_COLUMNS: Final = "{:<50} {:>10} {:>10} {:<4} {:<20} {}"


@dataclass(frozen=True)
class Comparison:
    """A line of the table.

    Attributes:
        before: Cost of a unit of work with the other commit, the median over the rounds.
        now: That of this tree.
        ratios: Now to before, one for each round.
        best: Now to before, of the best turn of each.
        note: Why there are no figures.
    """

    name: str
    unit: str = ""
    before: float | None = None
    now: float | None = None
    ratios: tuple[float, ...] = ()
    best: float = 1.0
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The median ratio."""
        return median(self.ratios) if self.ratios else None

    @property
    def verdict(self) -> str:
        """Whether the row is slower or faster by more than 3 %, by the median of the rounds and by the best turns."""
        if self.ratio is None:
            return ""
        if min(self.ratio, self.best) > _SLOWER:
            return "slower"
        return "faster" if max(self.ratio, self.best) < 1 / _SLOWER else "equal"


class _Process:
    """A process on one library."""

    def __init__(self, folder: Path) -> None:
        paths = [str(folder), str(folder / "integrations")]
        # `tests` comes from this tree, the library from the folder.
        code = f"import sys; sys.path[:0] = {paths!r}; sys.path.append({str(_TREE)!r}); from tests.benchmarks.one_side import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
        )

    def ask(self, *command: Any) -> dict[str, Any]:
        """Give a command, and return the answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(command), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"error: a measuring process ended with exit code {self._process.wait()}")
        return json.loads(answer)  # type: ignore[no-any-return]

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    options = _options(arguments)
    pace = Pace(rounds=2, turn=0.002) if options.quick else Pace(rounds=options.rounds, turn=0.01)
    load = report.load()
    rows: list[Comparison] = []
    with _unpacked(options.ref) as (commit, folder):
        print(_COLUMNS.format("operation", commit[:8], "now", "unit", "ratio (min-max)", "verdict"))
        print("-" * 118, flush=True)
        for row in _rows(folder, options.only, pace):
            rows.append(row)
            print(_line(row), flush=True)
    verdicts = [row.verdict for row in rows]
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in ("slower", "faster", "equal"))
    print(
        f"\n{counts}, {verdicts.count('')} not compared. CPU of the client alone; ratios are medians of {pace.rounds} interleaved rounds."
    )
    print(report.machine(load))
    if options.json:
        figures = [{**asdict(row), "ratio": row.ratio, "verdict": row.verdict} for row in rows]
        options.json.write_text(json.dumps({"machine": report.machine(load), "before": commit, "rows": figures}, indent=1) + "\n")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.compare", description=__doc__)
    parser.add_argument("ref", metavar="REF", help="a commit, tag or branch of this repository")
    parser.add_argument(
        "--only", metavar="NAME", action="append", default=[], help="operations whose name holds this; repeatable"
    )
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="paired measurements of each operation (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="two short rounds: to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to a file as well")
    return parser.parse_args(arguments)


@contextmanager
def _unpacked(ref: str) -> Iterator[tuple[str, Path]]:
    """Unpack the library of a commit beside this tree."""
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if found.returncode:
        raise SystemExit(f"error: this repository has no commit {ref!r}")
    commit = found.stdout.decode().strip()
    with tempfile.TemporaryDirectory(prefix="compared-") as folder:
        archive = _git("archive", commit, *_PACKAGES)
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
            packed.extractall(folder, filter="data")
        yield commit, Path(folder)


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=_TREE, capture_output=True, check=False)


def _rows(before: Path, only: Sequence[str], pace: Pace) -> Iterator[Comparison]:
    names = [name for name in OPERATIONS if matches(name, only)]
    with ExitStack() as stack:
        pairs = [[_Process(folder) for folder in (before, _TREE)] for _ in range(_PAIRS if names else 0)]
        for process in chain.from_iterable(pairs):
            stack.callback(process.close)
        for name in names:
            yield _compare(name, pairs, pace)
    for statement in imports.IMPORTS:
        if matches(statement.name, only):
            yield _compare_import(statement, before, pace)


def _compare(name: str, pairs: Sequence[Sequence[_Process]], pace: Pace) -> Comparison:
    for pair in pairs:
        for process, whose in zip(pair, ("before", "now"), strict=True):
            answer = process.ask("build", name, pace.turn)
            if problem := answer.get("problem"):
                return Comparison(name, note=f"{whose}: {problem}")
    works = [[partial(_turn, process) for process in pair] for pair in pairs]
    turns = _TURNS if answer["seconds"] < 0.1 else 1
    return _compared(name, answer["unit"], [_round(works[number % _PAIRS], turns) for number in range(pace.rounds)])


def _turn(process: _Process) -> float:
    return process.ask("turn")["cost"]  # type: ignore[no-any-return]


def _compare_import(target: imports.Import, before: Path, pace: Pace) -> Comparison:
    statements = [
        f"import sys; sys.path[:0] = {[str(folder), str(folder / 'integrations')]!r}; {target.ours}" for folder in (before, _TREE)
    ]
    for statement, whose in zip(statements, ("before", "now"), strict=True):
        if problem := imports.import_problem(statement):
            return Comparison(target.name, note=f"{whose}: {problem}")
    bare = min(imports.cpu("pass") for _ in range(5))
    works = [partial(_import, statement, bare) for statement in statements]
    return _compared(target.name, "ms", [_round(works, 2) for _ in range(pace.rounds)])


def _import(statement: str, bare: float) -> float:
    return (imports.cpu(statement) - bare) * 1000


def _round(works: Sequence[Callable[[], float]], turns: int) -> tuple[list[float], list[float]]:
    """Return the costs of turns that two works take by turns, forwards and backwards."""
    costs: tuple[list[float], list[float]] = ([], [])
    for turn in range(turns):
        for index in (0, 1) if turn % 2 == 0 else (1, 0):
            costs[index].append(works[index]())
    return costs


def _compared(name: str, unit: str, rounds: Sequence[tuple[list[float], list[float]]]) -> Comparison:
    """Return the row of the costs of turns, before and now."""
    before, now = zip(*((mean(before), mean(now)) for before, now in rounds), strict=True)
    best_before, best_now = (min(min(costs[index]) for costs in rounds) for index in (0, 1))
    ratios = tuple(mine / base for base, mine in zip(before, now, strict=True))
    return Comparison(name, unit, median(before), median(now), ratios, best_now / best_before)


def _line(row: Comparison) -> str:
    if row.before is None or row.now is None:
        return f"{row.name:<50} {row.note}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f} ({min(row.ratios):.2f}-{max(row.ratios):.2f})"
    return _COLUMNS.format(row.name, report.figure(row.before), report.figure(row.now), row.unit, ratio, row.verdict).rstrip()


if __name__ == "__main__":
    main()
