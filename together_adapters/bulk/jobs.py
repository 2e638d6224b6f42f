"""Runs requests as batch jobs. Every step that cannot be undone is noted before and after, and looked for when it is uncertain."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from together_adapters.bulk.checkpoint import Checkpoint, Shard
from together_adapters.bulk.costs import Account
from together_adapters.bulk.results import BulkProgress
from together_adapters.errors import (
    APIConnectionError,
    APIResponseValidationError,
    APITimeoutError,
    DownloadError,
    InternalServerError,
    RateLimitError,
    TogetherError,
)
from together_adapters.resources import batches, files
from together_adapters.resources.batch_files import MAX_BYTES, MAX_REQUESTS
from together_adapters.resources.downloads import download_file
from together_adapters.resources.waiting import growing_intervals
from together_adapters.transport.call import Flow, Local, Sleep, request
from together_adapters.types.batches import BatchJob, BatchList
from together_adapters.types.files import FileResponse
from together_adapters.types.progress import is_final

SHARD_LINES: Final = 10_000
"""Requests of one file: the service recommends 1,000 to 10,000."""
_TRIES: Final = 3
_MISSES: Final = 20  # looks at a job that may fail one after the other
_SETTLE_SECONDS: Final = 5.0  # in which a job whose creation is uncertain must have appeared
_UNCERTAIN: Final = (APIConnectionError, InternalServerError, APIResponseValidationError)
_PASSING: Final = (APIConnectionError, InternalServerError, RateLimitError)


class _NoMeter:
    """The meter of a call that a run accounts for itself."""

    def turn(self) -> None:
        return None

    def answer(self, outcome: Any, *, is_open: bool) -> None:
        return None


class JobRun:
    """The jobs of one run."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        account: Account,
        *,
        poll_interval: float,
        timeout: float | None,
        max_jobs: int,
        progress: Callable[[BulkProgress], object] | None,
        shard_lines: int | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._account = account
        self._interval = poll_interval
        self._intervals = growing_intervals(poll_interval)
        self._deadline = math.inf if timeout is None else time.monotonic() + timeout
        self._timeout = timeout
        self._max_jobs = max_jobs
        self._progress = progress
        self._shard_lines = min(shard_lines or SHARD_LINES, MAX_REQUESTS)
        self._misses: dict[int, int] = {}

    def perform(self, *, is_only_started: bool = False) -> Flow[None]:
        """Sends what has no answer, and waits until all jobs have ended; `is_only_started` waits for those that exist already."""
        while True:
            if not is_only_started:
                yield Local(lambda: self._checkpoint.plan(self._shard_lines, MAX_BYTES))
            shards: list[Shard] = self._checkpoint.shards()
            if not shards:
                break
            yield from self._step(shards)

    def _step(self, shards: list[Shard]) -> Flow[None]:
        """Looks at each job once, and starts as many as may run; sleeps if there was nothing to do."""
        running, has_changed = 0, False
        for shard in sorted(shards, key=lambda shard: shard.batch_id is None and shard.state != "creating"):
            if shard.state == "answered":  # by a run that ended before it had noted what the job has cost
                yield from self._settle(shard, is_certain=False)
                has_changed = True
            elif shard.batch_id is not None:
                has_ended = yield from self._poll(shard)
                running += not has_ended
                has_changed = has_changed or has_ended
            elif running < self._max_jobs:
                yield from self._create((yield from self._upload(shard)))
                running += 1
        if not has_changed:
            yield from self._sleep()

    # Files

    def _upload(self, shard: Shard) -> Flow[Shard]:
        """Uploads the file of a shard, unless that is done."""
        if shard.state not in ("written", "uploading"):
            return shard
        yield from self._account.reserve(self._checkpoint, shard)
        self.report("upload")
        is_uncertain = shard.state == "uploading"
        path: Path = yield Local(lambda: self._checkpoint.write_file(shard))
        file: FileResponse | None = None
        for number in range(_TRIES):
            if is_uncertain and (file := (yield from self._find_file(shard))):
                break
            shard = self._checkpoint.update(shard, state="uploading")
            try:
                file = yield from files.upload(path, purpose="batch-api", check=False)
                break
            except _UNCERTAIN:
                if number == _TRIES - 1:
                    raise
                is_uncertain = True
                yield Sleep(min(self._interval, 1.0))
        assert file is not None
        yield from self._wait_for_file(file)
        self._checkpoint.remove_file(shard)
        return self._checkpoint.update(shard, state="uploaded", file_id=file.id)

    def _find_file(self, shard: Shard) -> Flow[FileResponse | None]:
        """Returns the uploaded file of a shard, if there is one."""
        file_list: Any = yield files.list_files()
        return next((file for file in file_list.data if file.filename == shard.name and file.bytes), None)

    def _wait_for_file(self, file: FileResponse) -> Flow[None]:
        """Waits until the service has checked a file; an upload that was cut off before its last step gets that step."""
        if file.processed is False and not file.processing_status:
            finish = request("POST", f"/v1/files/{file.id}/preprocess", lambda response: None, {})
            with suppress(TogetherError):
                yield finish
        if (file.processing_status or "").upper() == "COMPLETED" and file.validation_report is None:
            return
        remaining = self._deadline - time.monotonic()
        timeout = None if remaining == math.inf else max(remaining, 0.0)
        try:
            yield from files.wait(file.id or "", poll_interval=min(self._interval, 1.0), timeout=timeout)
        except APITimeoutError:
            if time.monotonic() < self._deadline:
                raise
            raise self._too_late() from None

    # Jobs

    def _create(self, shard: Shard) -> Flow[None]:
        """Creates the job of a shard. If it may exist already, it is looked for first."""
        is_uncertain = shard.state == "creating"
        if not is_uncertain:
            others = yield from self._jobs_of(shard)
            shard = self._checkpoint.creating(shard, [str(job.id) for job in others])
        for number in range(_TRIES):
            job: BatchJob | None = None
            if is_uncertain:
                job = yield from self._find_job(shard)
            try:
                job = job or (yield replace(batches.create(shard.file_id or "", self._checkpoint.endpoint), meter=_NoMeter()))
            except _UNCERTAIN:
                is_uncertain = True
                if number < _TRIES - 1:
                    continue
                if (job := (yield from self._find_job(shard))) is None:
                    raise
            except RateLimitError:
                if number == _TRIES - 1:
                    self._checkpoint.update(shard, state="uploaded")
                    raise
                yield Sleep(self._interval)
                continue
            except TogetherError:
                self._checkpoint.update(shard, state="uploaded")
                raise
            assert job is not None
            self._checkpoint.update(shard, state="created", batch_id=job.id)
            return

    def _jobs_of(self, shard: Shard) -> Flow[list[BatchJob]]:
        jobs: BatchList = yield batches.list_batches()
        return [job for job in jobs if job.input_file_id == shard.file_id]

    def _find_job(self, shard: Shard) -> Flow[BatchJob | None]:
        """Looks for the job of a shard, again until a job that was just created would certainly be listed."""
        others = set(json.loads(shard.others))
        settle = min(_SETTLE_SECONDS, 2 * self._interval)
        end = max(shard.since or 0.0, time.time() - settle) + settle
        while True:
            jobs = yield from self._jobs_of(shard)
            if new := [job for job in jobs if job.id not in others]:
                return new[-1]
            if (remaining := end - time.time()) <= 0:
                return None
            yield Sleep(min(remaining, max(settle / 4, 0.01)))

    def _poll(self, shard: Shard) -> Flow[bool]:
        """Looks at a job, and reads its answers once it has ended; returns whether it has."""
        try:
            job: BatchJob = yield batches.retrieve(shard.batch_id or "")
        except _PASSING:
            return self._has_missed(shard)
        if not is_final(job.status):
            self._misses.pop(shard.number, None)
            self.report("wait")
            return False
        self.report("download")
        names = yield from self._download(shard, job)
        try:
            shard = yield Local(lambda: self._checkpoint.read_files(shard, names, _missing(job), job.status or ""))
        except DownloadError:
            return self._has_missed(shard)
        yield from self._settle(shard, is_certain=True)
        if (error := self._checkpoint.error_of_all(shard)) is not None:
            raise error
        self.report("wait")
        return True

    def _settle(self, shard: Shard, *, is_certain: bool) -> Flow[None]:
        """Notes what a job has cost."""
        yield from self._account.settle(shard, is_certain=is_certain)
        self._checkpoint.update(shard, state="read")

    def _has_missed(self, shard: Shard) -> bool:
        """Counts a failed look at a job, which is not the end of the run; raises the exception of the last of many."""
        self._misses[shard.number] = self._misses.get(shard.number, 0) + 1
        if self._misses[shard.number] > _MISSES:
            raise  # noqa: PLE0704 - the exception that is handled
        return False

    def _download(self, shard: Shard, job: BatchJob) -> Flow[list[str]]:
        """Downloads the files of a job, and returns their names."""
        names = []
        for kind, id in (("errors", job.error_file_id), ("output", job.output_file_id)):
            if id:
                target = self._checkpoint.folder / f"answers-{shard.number}-{kind}.jsonl"
                yield from download_file(files.content(id), target, overwrite=True)
                names.append(target.name)
        return names

    def _sleep(self) -> Flow[None]:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise self._too_late()
        yield Sleep(min(next(self._intervals), remaining))

    def _too_late(self) -> APITimeoutError:
        return APITimeoutError(
            f"the run had not ended after {self._timeout:g} seconds. Its jobs continue and are not cancelled: start it again with the "
            f"same inputs and checkpoint={os.fspath(self._checkpoint.database.path)!r}, with a longer timeout if necessary"
        )

    def report(self, phase: str) -> None:
        """Tells the progress."""
        if self._progress is not None:
            total, done, failed = self._checkpoint.counts()
            self._progress(BulkProgress(done, total, failed, phase))


def _missing(job: BatchJob) -> dict[str, str]:
    """Returns the error of requests that are in no file of a job that has ended."""
    status = (job.status or "").lower()
    reason = f": {job.error}" if job.error else ""
    code = {"completed": "missing", "expired": "expired", "cancelled": "cancelled", "canceled": "cancelled"}.get(
        status, "job_failed"
    )
    text = "its files have no answer to this request" if code == "missing" else f"the job ended as {job.status}{reason}"
    return {"message": f"batch {job.id}: {text}", "code": code}
