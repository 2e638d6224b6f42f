"""Files: check, upload, wait for the service's validation, download."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from together_adapters.errors import InvalidDatasetError, JobFailedError, RemoteValidationError, TogetherError
from together_adapters.resources.downloads import download_file, normalized_name
from together_adapters.resources.uploads import MULTIPART_THRESHOLD, PART_SIZE, UploadSource, upload_file
from together_adapters.resources.waiting import wait_for
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Local, Response, request, segment
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.files import (
    FINAL_STATUSES,
    FileDeleteResponse,
    FileList,
    FileObject,
    FileResponse,
    Purpose,
    parse_purpose,
)
from together_adapters.types.progress import Progress
from together_adapters.types.requests import RequestOptions

if TYPE_CHECKING:
    from together_adapters.finetune.reports.report import DataReport

_log = logging.getLogger(__name__)
_DISCARD_SECONDS: Final = 10.0  # with its retries
_parse = ResponseParser(FileResponse)
_parse_list = ResponseParser(FileList)

load_checker: Callable[[], Callable[..., DataReport]] | None = None
"""Imports the function that checks a file on this machine. The clients set it: resources do not know `finetune`."""


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
    """Uploads a data file.

    The file is checked on this machine first. It then goes directly to the storage of the service, in parts if it is large.
    If the service has a file with the same content, that file is returned. A failed upload is undone.

    Args:
        file: The path; it ends in `.jsonl`, `.parquet` or `.csv`.
        purpose: `fine-tune`, `calibration`, `eval` or `batch-api`.
        check: Whether to check the file before anything is sent.
        multipart_threshold: Bytes above which the file is sent in parts.
        part_size: Bytes of a part. A file has at most 250 parts of at least 5 MiB.
        progress: Called with the bytes checked and sent, possibly from another thread. An exception from it ends the upload.

    Returns:
        The file at the service. `files.wait` returns the result of the service's own validation.

    Raises:
        InvalidDatasetError: The file has errors; `report` lists them. Nothing was sent.
        FileTypeError: The file is missing, too large or of another type. Nothing was sent.
        FileChangedError: The file changed during the upload.

    Example:
        ```python
        from together_adapters import Together

        client = Together()
        file = client.files.upload("train.jsonl", purpose="fine-tune")  # every row is checked before anything is sent
        print(file.id, client.files.wait(file.id, timeout=60).validation_report)
        ```
    """
    path = Path(file)
    purpose = parse_purpose(purpose)
    source: UploadSource = yield Local(lambda: UploadSource.from_path(path))
    sha256 = None
    if check:
        report: DataReport = yield Local(lambda: _check_file(path, purpose=purpose, checksum=True, progress=progress))
        if not report.ok:
            raise InvalidDatasetError(f"{path.name} was not uploaded. {report.summary()}", report=report)
        sha256 = report.sha256
    return (yield from upload_file(source, sha256, purpose, multipart_threshold, part_size, progress, options))


def check(
    file: str | PathLike[str],
    *,
    purpose: Purpose | str = "fine-tune",
    max_issues: int = 1000,
    progress: Callable[[Progress], None] | None = None,
) -> Flow[DataReport]:
    """Checks a data file on this machine. Nothing is sent.

    Args:
        file: The path.
        purpose: The purpose that the file would be uploaded for.
        max_issues: Maximum number of issues to list; all are counted.
        progress: Called with the bytes checked.

    Returns:
        A report: `ok` is whether the file can be uploaded, `issues` are its errors and warnings with line, path and hint.
    """
    purpose = parse_purpose(purpose)
    return (yield Local(lambda: _check_file(Path(file), purpose=purpose, max_issues=max_issues, progress=progress)))


def list_files(**options: Unpack[RequestOptions]) -> Call[FileList]:
    """Lists the files of the account."""
    return request("GET", "/v1/files", _parse_list, options=options)


def retrieve(id: str, **options: Unpack[RequestOptions]) -> Call[FileResponse]:
    """Retrieves the metadata of a file: size, purpose, validation report."""
    return request("GET", f"/v1/files/{segment(id, 'id')}", _parse, options=options)


def delete(id: str, **options: Unpack[RequestOptions]) -> Call[FileDeleteResponse]:
    """Deletes a file."""
    return request("DELETE", f"/v1/files/{segment(id, 'id')}", ResponseParser(FileDeleteResponse), options=options)


def discard(file: FileResponse) -> Flow[None]:
    """Deletes a file that was uploaded for one purpose, unless the account had it before; where that fails, the log says so."""
    if file._is_duplicate:
        return
    try:
        yield replace(delete(str(file.id)), max_elapsed=_DISCARD_SECONDS)
    except TogetherError as error:
        _log.warning("%s stays in the account: %s. client.files.delete(%r) deletes it", file.filename, error, file.id)


def wait(
    id: str,
    *,
    poll_interval: float | None = None,
    timeout: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Flow[FileResponse]:
    """Waits until the service has validated a file.

    Args:
        id: The file's id.
        poll_interval: The most seconds between two requests, growing from 1; None: from 0.5 to 5.

    Returns:
        The file, ready for use.

    Raises:
        RemoteValidationError: The service found an error; `remote` is its report.
        JobFailedError: The validation itself failed.
        APITimeoutError: The timeout has passed.
    """
    file: FileResponse = yield from wait_for(
        retrieve(id),
        done=_is_validated,
        poll_interval=poll_interval,
        timeout=timeout,
        progress=progress,
        describe=lambda file: Progress(float(_is_validated(file)), 1.0, (file.processing_status or "unknown").lower()),
        name=f"the validation of file {id}",
    )
    status = (file.processing_status or "").upper()
    report = file.validation_report
    if status == "INVALID_FORMAT" or (status != "FAILED" and report is not None and report.valid is False):
        reason = (report and report.error) or "it does not say which"
        message = f"the service found an error in {file.filename or id}: {reason}"
        raise RemoteValidationError(message, remote=report, completed=file)
    if status == "FAILED":
        message = f"the service failed to validate {file.filename or id} ({id}); upload it again"
        raise JobFailedError(message, completed=file, body=file.model_dump())
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
    """Downloads a file. An interrupted download is resumed, within the call and by the next one.

    Args:
        id: The file's id.
        output: The target: a path or a folder. The default is a name made from the id, in the working directory.
        overwrite: Whether an existing file may be replaced.
        sha256: Expected checksum, in hexadecimal digits.
        progress: Called with the bytes received, possibly from another thread.

    Returns:
        The file on this machine: `filename`, `size`.

    Raises:
        FileExistsError: The target exists.
        DownloadError: Length or checksum are not as expected.
    """
    folder = Path() if output is None else Path(output)
    target = folder / f"{normalized_name(id)}.jsonl" if output is None or folder.is_dir() else folder
    call = content(id, **options)
    path: Path = yield from download_file(call, target, overwrite=overwrite, sha256=sha256, progress=progress)
    return FileObject(id=id, filename=str(path), size=path.stat().st_size)


def content(id: str, **options: Unpack[RequestOptions]) -> Call[bytes]:
    """Returns the content of a small file; `retrieve_content` writes a large one to disk."""
    return request("GET", f"/v1/files/{segment(id, 'id')}/content", _read_bytes, options=options)


def _read_bytes(response: Response) -> bytes:
    return response.content


def _is_validated(file: FileResponse) -> bool:
    """Whether the validation has ended; a service that reports no status does not validate files."""
    if file.processing_status:
        return file.processing_status.upper() in FINAL_STATUSES
    return file.processed is not False


def _check_file(path: Path, **options: Any) -> DataReport:
    if load_checker is None:
        raise RuntimeError("no file checker is set: make a client first, or pass check=False")
    return load_checker()(path, **options)


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
