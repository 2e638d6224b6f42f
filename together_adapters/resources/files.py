"""Files: send data, wait until the service has looked into it, bring results back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from together_adapters.errors import InvalidDatasetError, JobFailedError
from together_adapters.resources.downloads import Fetched, fetch, normal_name
from together_adapters.resources.uploads import MULTIPART_THRESHOLD, PART_SIZE, Source, send_file
from together_adapters.resources.waiting import wait_for
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Local, Response, answer, request, segment
from together_adapters.types.files import (
    PROCESSED,
    FileDeleteResponse,
    FileList,
    FileObject,
    FileResponse,
    Purpose,
    purpose_of,
)
from together_adapters.types.progress import Progress
from together_adapters.types.requests import RequestOptions

if TYPE_CHECKING:
    from together_adapters.finetune.reports.report import DataReport

_read_file = answer(FileResponse)
_read_list = answer(FileList)


def upload(
    file: str | PathLike[str],
    *,
    purpose: Purpose | str = "fine-tune",
    check: bool = True,
    multipart_threshold: int = MULTIPART_THRESHOLD,
    part_size: int = PART_SIZE,
    progress: Callable[[Progress], None] | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[FileResponse]:
    """Upload a data file.

    It is checked first, on this machine; then it goes straight to the service's storage, in parts when it is large. A file
    with the same content that is there already is returned in its place. What was begun is taken back when it fails.

    Args:
        file: Its path; it ends in `.jsonl`, `.parquet` or `.csv`.
        purpose: `fine-tune`, `calibration`, `eval` or `batch-api`.
        check: Whether to look for faults before anything is sent.
        multipart_threshold: Bytes above which it goes in parts.
        part_size: Bytes of a part. There are 250 at most, of 5 MiB at least.
        progress: Told how many bytes are checked and sent, perhaps from another thread. What it raises ends the upload.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`; they are for the service, not for its storage.

    Returns:
        The file at the service. `files.wait` tells what the service finds in it.

    Raises:
        InvalidDatasetError: It has faults; `report` lists them. Nothing was sent.
        FileTypeError: It is missing, too large or of another type. Nothing was sent.
        FileChangedError: It changed while it was sent.
        APIError: The service refused.
    """
    path = Path(file)
    wanted = purpose_of(purpose)
    source: Source = yield Local(lambda: Source.of(path))
    sha256 = None
    if check:
        report: DataReport = yield Local(lambda: _checked(path, wanted, progress))
        sha256 = report.sha256
    return (
        yield from send_file(
            source,
            sha256,
            wanted,
            multipart_threshold=multipart_threshold,
            part_size=part_size,
            progress=progress,
            options=options,
        )
    )


def check(
    file: str | PathLike[str],
    *,
    purpose: Purpose | str = "fine-tune",
    max_issues: int = 1000,
    progress: Callable[[Progress], None] | None = None,
) -> Flow[DataReport]:
    """Check a data file on this machine. Nothing is sent.

    Args:
        file: Its path.
        purpose: What it is for.
        max_issues: How many issues to list; all are counted.
        progress: Told how many bytes are checked.

    Returns:
        A report: `ok` says whether it can be uploaded, `issues` what is wrong, with line, path and hint.
    """
    return (yield Local(lambda: _report(Path(file), purpose_of(purpose), progress, max_issues)))


def list_files(**options: Unpack[RequestOptions]) -> Call[FileList]:
    """List the files of the account.

    Args:
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.
    """
    return request("GET", "/v1/files", _read_list, options=options)


def retrieve(id: str, **options: Unpack[RequestOptions]) -> Call[FileResponse]:
    """Look at a file: its size, what it is for, what the service found in it.

    Args:
        id: The file's id.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.
    """
    return request("GET", f"/v1/files/{segment(id, 'id')}", _read_file, options=options)


def delete(id: str, **options: Unpack[RequestOptions]) -> Call[FileDeleteResponse]:
    """Delete a file.

    Args:
        id: The file's id.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.
    """
    return request("DELETE", f"/v1/files/{segment(id, 'id')}", answer(FileDeleteResponse), options=options)


def wait(
    id: str,
    *,
    poll_interval: float | None = None,
    timeout: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Flow[FileResponse]:
    """Wait until the service has looked into a file.

    Args:
        id: The file's id.
        poll_interval: Seconds between two looks; None for 0.5 at first, growing to 5.
        timeout: Seconds until it gives up; None for never.
        progress: Told whenever the state changes.

    Returns:
        The file, ready for use.

    Raises:
        RemoteValidationError: The service found a fault; `remote` is its report.
        JobFailedError: The service could not look into it, through no fault of the file.
        APITimeoutError: The time is up.
    """
    file: FileResponse = yield from wait_for(
        retrieve(id),
        done=_is_processed,
        poll_interval=poll_interval,
        timeout=timeout,
        progress=progress,
        describe=lambda file: Progress(float(_is_processed(file)), 1.0, (file.processing_status or "unknown").lower()),
        name=f"the check of file {id}",
    )
    status = (file.processing_status or "").upper()
    report = file.validation_report
    if status == "INVALID_FORMAT" or (status != "FAILED" and report is not None and report.valid is False):
        from together_adapters.finetune.errors import RemoteValidationError

        found = (report and report.error) or "it does not say what"
        raise RemoteValidationError(f"the service found a fault in {file.filename or id}: {found}", remote=report, completed=file)
    if status == "FAILED":
        raise JobFailedError(
            f"the service failed to look into {file.filename or id} ({id}); upload it again",
            completed=file,
            body=file.model_dump(),
        )
    return file


def retrieve_content(
    id: str,
    output: str | PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    sha256: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[FileObject]:
    """Download a file. A broken connection is resumed, within the call and by the next one.

    Args:
        id: The file's id.
        output: Where to: a path, or a folder. Without it a name made of the id, in the working directory.
        overwrite: Whether a file that is there may be replaced.
        sha256: What its checksum must be, in hexadecimal digits.
        progress: Told how many bytes have arrived, perhaps from another thread.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The file on this machine: `filename`, `size`.

    Raises:
        FileExistsError: Something is there already.
        DownloadError: What came is not what was promised.
        APIConnectionError: The connection broke again and again; the next call goes on from there.
    """
    folder = Path() if output is None else Path(output)
    target = folder / f"{normal_name(id)}.jsonl" if output is None or folder.is_dir() else folder
    call = _content(id, options)
    fetched: Fetched = yield from fetch(call, target, overwrite=overwrite, sha256=sha256, progress=progress)
    return FileObject(id=id, filename=str(fetched.path), size=fetched.size)


def content(id: str, **options: Unpack[RequestOptions]) -> Call[bytes]:
    """Return the content of a small file; `retrieve_content` writes a large one to disk.

    Args:
        id: The file's id.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.
    """
    return _content(id, options)


def _content(id: str, options: Mapping[str, Any]) -> Call[bytes]:
    return request("GET", f"/v1/files/{segment(id, 'id')}/content", _bytes, options=options)


def _bytes(response: Response) -> bytes:
    return response.content


def _is_processed(file: FileResponse) -> bool:
    """Whether the service has done with a file; one that tells no state never looks into files."""
    if file.processing_status:
        return file.processing_status.upper() in PROCESSED
    return file.processed is not False


def _report(path: Path, purpose: str, progress: Callable[[Progress], None] | None, max_issues: int) -> DataReport:
    from together_adapters.finetune.validation.check_jsonl import check_jsonl

    return check_jsonl(path, purpose=purpose, max_issues=max_issues, progress=progress)


def _checked(path: Path, purpose: str, progress: Callable[[Progress], None] | None) -> DataReport:
    from together_adapters.finetune.validation.check_jsonl import check_jsonl

    report = check_jsonl(path, purpose=purpose, checksum=True, progress=progress)
    if not report.ok:
        raise InvalidDatasetError(f"{path.name} was not uploaded. {report.summary()}", report=report)
    return report


class Files(Resource[D, R]):
    """`client.files`."""

    with_raw_response: Files[R, R]
    upload = method(upload)
    list = method(list_files)
    retrieve = method(retrieve)
    retrieve_content = method(retrieve_content)
    content = method(content)
    delete = method(delete)
    check = method(check)
    wait = method(wait)
