"""A file that was prepared for training, with the report of it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import file_digest
from os import PathLike
from pathlib import Path

from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.validation.check_jsonl import check_jsonl


@dataclass(frozen=True)
class PreparedFile:
    """A file of rows, ready for upload. It can be given wherever a path can.

    Attributes:
        path: The file.
        report: What is in it, what was changed and what was left out.
        written: False where rows were faulty and `on_error="collect"` asked for the report alone: there is no such file then.
    """

    path: Path
    report: DataReport
    written: bool = True

    @classmethod
    def of(cls, path: str | PathLike[str]) -> PreparedFile:
        """Take up a file again, with the report beside it; where that belongs to other contents, or is missing, it is checked.

        Raises:
            FileNotFoundError: There is no such file.
        """
        path = Path(path)
        with path.open("rb") as file:
            checksum = file_digest(file, "sha256").hexdigest()
        try:
            report = DataReport.model_validate_json(report_path(path).read_bytes())
        except (OSError, ValueError):
            report = None
        if report is None or report.sha256 != checksum:
            report = check_jsonl(path, checksum=True)
        return cls(path, report)

    @property
    def sha256(self) -> str | None:
        """The checksum of the file."""
        return self.report.sha256

    @property
    def report_path(self) -> Path:
        """Where the report is: beside the file."""
        return report_path(self.path)

    def __fspath__(self) -> str:
        return str(self.path)


def report_path(path: Path) -> Path:
    """Return where the report of a file is kept: `train.report.json` beside `train.jsonl`."""
    return path.with_suffix(".report.json")
