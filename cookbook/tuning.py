"""What the fine-tuning recipes share: files with a report of them, a job whose price is shown first, and two models side by side.

Nothing here belongs to LangChain or to LlamaIndex; read a recipe first.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import Any

import httpx
import session
from tqdm import tqdm

from together_adapters import DatasetError, Together
from together_adapters.finetune import DataReport, Job, PreparedFile, TrainingData, check_jsonl, start, write_jsonl
from together_adapters.types.fine_tuning import FinetunePriceEstimate
from together_adapters.types.progress import Progress

WIDTH, SHOWN = 79, 5
BAR = "{desc} {bar} {n:.0f} %{postfix}"


class Tuning:
    """One way from rows to a tuned model, told line by line.

    Attributes:
        client: For the adapters to share.
        folder: Where files go.
        question: What both models are asked at the end.
        asynchronous: Makes an asynchronous client of the same service, as a context manager.
    """

    def __init__(self, run: session.Session, folder: Path, question: str, agreed: bool) -> None:
        self.client: Together = run.client
        self.folder = folder
        self.question = question
        self.asynchronous = run.asynchronous
        self._run = run
        self._agreed = agreed or run.emulated

    def check(self, path: Path, **options: Any) -> DataReport:
        """Check a file of rows as it is, and print what was found."""
        report = check_jsonl(path, **options)
        print(f"\n{path.name}: {report.rows} rows, {report.errors} errors, {report.warnings} warnings")
        _list(report)
        return report

    def write(self, data: TrainingData, name: str, **options: Any) -> PreparedFile:
        """Write rows to a file of the folder, and print what became of them."""
        prepared = write_jsonl(data, self.folder / name, **options)
        report = prepared.report
        print()
        lines = [f"{name}: {report.valid} rows of {report.rows}, {report.bytes:,} bytes; as {report.format}, for {report.method}"]
        share = report.trained_fraction or 0
        lines.append(f"  about {report.tokens.total:,} tokens; {share:.0%} of the text is trained on")
        listed = {"left out": report.dropped, "changed": report.changed, "calls": report.tools, "secrets": report.secrets}
        lines += [f"  {what}: {', '.join(f'{n} {key}' for key, n in some.items())}" for what, some in listed.items() if some]
        print("\n".join(fill(line, WIDTH, subsequent_indent="    ") for line in lines))
        _list(report)
        return prepared

    def train(self, train: PreparedFile, validation: PreparedFile | None = None, *, model: str, **options: Any) -> Job:
        """Start a job at a price that was agreed to, and wait for its end.

        Args:
            train: The rows to train on.
            validation: The rows to measure with.
            model: The model to train.
            **options: Those of `start`.

        Raises:
            SystemExit: The answer to the price was no.
        """
        print(f"\nTraining {model}")
        job = start(self.client, train, validation, model=model, on_price=self._agree, **options)
        differences = sum(map(len, job.differences.values()))
        print(f"  the service {'found what was found here' if not differences else f'sees {differences} things differently'}")
        print(f"  job {job.id}", flush=True)
        with tqdm(total=100, desc="  training", bar_format=BAR, ncols=WIDTH, leave=False, disable=None) as bar:

            def tell(now: Progress) -> None:
                bar.set_postfix_str(f"{now.stage}", refresh=False)
                bar.update(100 * (now.fraction or 0) - bar.n)

            job.wait(poll_interval=0.1 if self._is_near() else 10.0, progress=tell)
        print(f"  {job.status}: {job.model}")
        return job

    def tell(self, who: str, answer: str) -> None:
        """Print what a model answers, line by line."""
        print(f"\n{who}:")
        for line in answer.splitlines():
            label = re.match(r"\w+: +", line)
            print(
                fill(line, WIDTH, initial_indent="  ", subsequent_indent=" " * (2 + len(label[0] if label else ""))), flush=True
            )

    def _is_near(self) -> bool:
        """Whether the service is on this machine, an emulator that is done soon; a real job is looked at less often."""
        return httpx.URL(str(self.client.base_url)).host in ("localhost", "127.0.0.1", "::1")

    def _agree(self, estimate: FinetunePriceEstimate) -> None:
        price = f"${estimate.estimated_total_price:,.2f}" if estimate.available else "unknown"
        print(f"  estimated price: {price}", flush=True)
        if self._agreed:
            return
        try:
            answer = input("  Start the job? [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            raise SystemExit("no job was started; the file that was uploaded stays at the service")


def _list(report: DataReport) -> None:
    """Print what is wrong or odd; what was left out on purpose is counted elsewhere."""
    issues = [issue for issue in report.issues if issue.code not in report.dropped]
    for issue in issues[:SHOWN]:
        print(fill(f"{issue.severity} {issue.code}: {issue}", WIDTH, initial_indent="  ", subsequent_indent="    "))
    if len(issues) > SHOWN:
        print(f"  and {len(issues) - SHOWN} more")


@contextmanager
def connect(title: str, question: str, description: str) -> Iterator[Tuning]:
    """Read the command line, connect, and end the program with one line if anything goes wrong.

    Exit codes: those of `session.connect`, and 1 where the data are not right or the price was refused.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--question", default=question, help="what to ask both models (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="a new folder to keep the files in; without it they are deleted")
    parser.add_argument("--yes", action="store_true", help="start the job, which costs money, without asking")
    given = parser.parse_args()
    if given.folder and given.folder.exists() and any(given.folder.iterdir()):
        parser.error(f"{given.folder} is not empty")
    with session.connect(title) as run, TemporaryDirectory(prefix="finetune-") as passing:
        if not (given.yes or run.emulated or sys.stdin.isatty()):
            parser.error("a job costs money, and nobody is there to agree to it: pass --yes")
        folder: Path = given.folder or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield Tuning(run, folder, given.question, given.yes)
        except DatasetError as problem:
            print(flush=True)
            print(f"error: {problem}", file=sys.stderr)
            raise SystemExit(1) from None
        kept = f"the files are in {folder}" if given.folder else "--folder keeps the files"
        print(f"\n{run.requests} requests; {kept}")
