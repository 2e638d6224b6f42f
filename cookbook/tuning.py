"""Helpers of the fine-tuning recipes: files and their reports, a job whose price is confirmed, and the answers of two models.

Nothing here is specific to LangChain or LlamaIndex; read a recipe first.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import Any

import httpx
import session
from tqdm import tqdm

from together_adapters import DatasetError, ModelNotAvailableError, Together
from together_adapters.finetune import DataReport, Job, PreparedFile, TrainingData, check_jsonl, start, write_jsonl
from together_adapters.types.fine_tuning import FinetunePriceEstimate
from together_adapters.types.progress import Progress

WIDTH, MAX_ISSUES = 79, 5
BAR = "{desc} {bar} {n:.0f} %{postfix}"


class TuningRun:
    """The steps from rows to a tuned model, with their output.

    Attributes:
        client: The client that the adapters share.
        folder: The folder for the files.
        question: The question for both models.
        async_client: Opens an asynchronous client of the same service, as a context manager.
        chat_model: Returns the chat model to use where a recipe names one.
    """

    def __init__(self, run: session.Session, folder: Path, question: str, is_confirmed: bool) -> None:
        self.client: Together = run.client
        self.folder = folder
        self.question = question
        self.async_client = run.async_client
        self.chat_model = run.chat_model
        self._run = run
        self._is_confirmed = is_confirmed or run.emulator is not None

    def check(self, path: Path, **options: Any) -> DataReport:
        """Checks a file of rows and prints its issues."""
        report = check_jsonl(path, **options)
        print(f"\n{path.name}: {report.rows} rows, {report.errors} errors, {report.warnings} warnings")
        _print_issues(report)
        return report

    def write(self, data: TrainingData, name: str, **options: Any) -> PreparedFile:
        """Writes rows to a file in the folder and prints a report."""
        prepared = write_jsonl(data, self.folder / name, **options)
        report = prepared.report
        print()
        lines = [f"{name}: {report.valid} rows of {report.rows}, {report.bytes:,} bytes; as {report.format}, for {report.method}"]
        share = report.trained_fraction or 0
        lines.append(f"  about {report.tokens.total:,} tokens; {share:.0%} of the text is trained on")
        counts = {"dropped": report.dropped, "changed": report.changed, "calls": report.tools, "secrets": report.secrets}
        lines += [
            f"  {name}: {', '.join(f'{n} {key}' for key, n in by_key.items())}" for name, by_key in counts.items() if by_key
        ]
        print("\n".join(fill(line, WIDTH, subsequent_indent="    ") for line in lines))
        _print_issues(report)
        return prepared

    def train(self, train: PreparedFile, validation: PreparedFile | None = None, *, model: str, **options: Any) -> Job:
        """Starts a job after the price is confirmed, and waits for its end.

        Args:
            train: The rows to train on.
            validation: The rows to evaluate with.
            model: The model to train.
            **options: Options of `start`.

        Raises:
            SystemExit: The price is not confirmed.
        """
        print(f"\nTraining {model}")
        job = start(self.client, train, validation, model=model, on_price=self._confirm, **options)
        differences = sum(map(len, job.differences.values()))
        print(
            f"  the check of the service differs in {differences} points" if differences else "  the check of the service agrees"
        )
        print(f"  job {job.id}", flush=True)
        with tqdm(total=100, desc="  training", bar_format=BAR, ncols=WIDTH, leave=False, disable=None) as bar:

            def update(progress: Progress) -> None:
                bar.set_postfix_str(f"{progress.stage}", refresh=False)
                bar.update(100 * (progress.fraction or 0) - bar.n)

            job.wait(poll_interval=0.1 if self._is_local() else 10.0, progress=update)
        print(f"  {job.status}: {job.model}")
        return job

    @contextmanager
    def answer_of(self, model: str) -> Iterator[Callable[[str], None]]:
        """Yields a function that prints the answer of a model; says so if the model is not served."""
        print(f"\n{model}:")
        try:
            yield _print_answer
        except ModelNotAvailableError as error:
            _print_answer(f"refused: {' '.join(str(error).split())}")

    def _is_local(self) -> bool:
        """Whether the service is an emulator on this machine, whose jobs take seconds."""
        return httpx.URL(str(self.client.base_url)).host in ("localhost", "127.0.0.1", "::1")

    def _confirm(self, estimate: FinetunePriceEstimate) -> None:
        price = f"${estimate.estimated_total_price:,.2f}" if estimate.available else "unknown"
        print(f"  estimated price: {price}", flush=True)
        if self._is_confirmed:
            return
        try:
            answer = input("  Start the job? [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            raise SystemExit("no job was started; the uploaded file stays at the service")


def _print_answer(answer: str) -> None:
    """Prints an answer, the lines of a paragraph under the first word after its label."""
    for line in answer.splitlines():
        label = re.match(r"\w+: +", line)
        print(fill(line, WIDTH, initial_indent="  ", subsequent_indent=" " * (2 + len(label[0] if label else ""))), flush=True)


def _print_issues(report: DataReport) -> None:
    """Prints the issues of the rows that were not dropped on purpose."""
    issues = [issue for issue in report.issues if issue.code not in report.dropped]
    for issue in issues[:MAX_ISSUES]:
        print(fill(f"{issue.severity} {issue.code}: {issue}", WIDTH, initial_indent="  ", subsequent_indent="    "))
    if len(issues) > MAX_ISSUES:
        print(f"  and {len(issues) - MAX_ISSUES} more")


@contextmanager
def connect(title: str, question: str, description: str) -> Iterator[TuningRun]:
    """Reads the command line and connects; on an error, prints one line and exits.

    Exit codes: those of `session.connect`, and 1 for invalid data or a price that is not confirmed.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--question", default=question, help="the question for both models (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="a new folder for the files; without it, they are deleted")
    parser.add_argument("--yes", action="store_true", help="start the job, which costs money, without confirmation")
    arguments = parser.parse_args()
    if arguments.folder and arguments.folder.exists() and any(arguments.folder.iterdir()):
        parser.error(f"{arguments.folder} is not empty")
    with session.connect(title) as run, TemporaryDirectory(prefix="finetune-") as temporary:
        if not (arguments.yes or run.emulator or sys.stdin.isatty()):
            parser.error("a job costs money and needs a confirmation: pass --yes")
        folder: Path = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield TuningRun(run, folder, arguments.question, arguments.yes)
        except DatasetError as error:
            print(flush=True)
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None
        files = f"the files are in {folder}" if arguments.folder else "--folder keeps the files"
        print(f"\n{run.requests} requests; {files}")
