"""A file that was prepared for training, and its report."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import file_digest
from os import PathLike
from pathlib import Path

from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.validation.check_jsonl import check_jsonl


@dataclass(frozen=True)
class PreparedFile:
    """A file of rows, ready for upload. It can be passed wherever a path can.

    Attributes:
        path: The file.
        report: Its contents, what was changed and what was dropped.
        written: False if rows are invalid and `on_error="collect"` asked for the report only: there is no such file then.
    """

    path: Path
    report: DataReport
    written: bool = True

    @classmethod
    def of(cls, path: str | PathLike[str]) -> PreparedFile:
        """Returns a file with its report; if that is missing or belongs to other contents, the file is checked again.

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
        """The path of the report, next to the file."""
        return report_path(self.path)

    def __fspath__(self) -> str:
        return str(self.path)


def report_path(path: Path) -> Path:
    """Returns the path of a file's report: `train.report.json` for `train.jsonl`."""
    return path.with_suffix(".report.json")
