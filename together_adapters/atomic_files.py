"""Files that appear complete or not at all: two processes never mix, a killed one leaves nothing for long."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from secrets import token_hex
from stat import S_IMODE, S_ISDIR, S_ISREG
from tempfile import TemporaryDirectory

_NAME_LENGTH = 50  # of 255 bytes
_LOCK = ".lock"


@contextmanager
def new_files(targets: Mapping[Path, bool]) -> Iterator[list[Path]]:
    """Yields a path to write for each target; together they take their places if the block ends without an error.

    `targets` says of each whether it may be replaced: if not, only the first of several processes succeeds, and the others raise
    FileExistsError. A file that is not there at the end is not moved. Devices and pipes are written to, links followed.
    """
    for target, overwrite in targets.items():
        refuse_existing(target, overwrite)
    first = next(iter(targets))
    with _draft_folder(first) as folder:
        drafts = [folder / target.name for target in targets]
        try:
            yield drafts
            with _lock_folder(folder.parent):
                _publish_all(folder, [(draft, *target) for draft, target in zip(drafts, targets.items(), strict=True)])
        except OSError as error:
            if error.errno and (error.filename is None or Path(str(error.filename)).parent == folder):
                raise OSError(error.errno, error.strerror, str(first)) from None
            raise


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises FileExistsError for a file that may not be replaced, IsADirectoryError for a folder."""
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if S_ISDIR(mode):
            raise IsADirectoryError(f"{path} is a folder, not a file")
        if not overwrite and not is_stream(path):
            raise FileExistsError(f"{path} exists: name another file, or pass overwrite=True")


def is_stream(path: Path) -> bool:
    """Whether a path is a device or a pipe, which is written to and never replaced; so is `/dev/stdout`, whatever it is."""
    with suppress(OSError):
        mode = path.stat().st_mode
        is_standard = path.is_absolute() and path.parts[1] in ("dev", "proc") and path.parts[2:3] != ("shm",)
        return is_standard or not (S_ISREG(mode) or S_ISDIR(mode))
    return False


def publish(file: Path, target: Path, *, overwrite: bool) -> None:
    """Moves a file to its place, with the permissions of the one it replaces; raises FileExistsError if it may not replace one."""
    if is_stream(target):
        with file.open("rb") as source, target.open("ab") as stream:
            shutil.copyfileobj(source, stream)
        return
    target = Path(os.path.realpath(target))
    if overwrite:
        with suppress(FileNotFoundError):
            _copy_owner(target, file)
        _move(file, target)
        return
    try:
        os.rename(file, target) if os.name == "nt" else _link(file, target)
    except FileExistsError:
        raise FileExistsError(f"{target} exists: name another file, or pass overwrite=True") from None


def _copy_owner(target: Path, file: Path) -> None:
    status = target.stat()
    if hasattr(os, "chown"):
        with suppress(OSError):
            os.chown(file, status.st_uid, status.st_gid)
    file.chmod(S_IMODE(status.st_mode))


def _move(file: Path, target: Path) -> None:
    if file.parent.stat().st_dev != target.parent.stat().st_dev:
        with _draft_folder(target) as folder:
            _move(Path(shutil.copy2(file, folder / target.name)), target)
        return
    os.replace(file, target)


def _link(file: Path, target: Path) -> None:
    """Gives a file a second name, which fails if there is such a file, unlike a move; the first is deleted later."""
    try:
        os.link(file, target)
    except FileExistsError:
        raise
    except OSError:  # there are file systems without links
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        _move(file, target)


def _publish_all(folder: Path, files: list[tuple[Path, Path, bool]]) -> None:
    """Moves files to their places; restores the files that they replaced if one cannot be moved."""
    done: list[tuple[Path, Path]] = []
    try:
        for number, (draft, target, overwrite) in enumerate(files):
            if not draft.exists():
                continue
            old, real = folder / f"old.{number}", Path(os.path.realpath(target))
            if len(files) > 1 and overwrite and real.is_file() and not is_stream(target):
                _keep(real, old)
            publish(draft, target, overwrite=overwrite)
            if not is_stream(target):
                done.append((real, old))
    except BaseException:
        for target, old in reversed(done):
            _move(old, target) if old.exists() else target.unlink(missing_ok=True)
        raise


def _keep(file: Path, old: Path) -> None:
    try:
        os.link(file, old)
    except OSError:
        shutil.copy2(file, old)


@contextmanager
def _draft_folder(target: Path) -> Iterator[Path]:
    """Yields a hidden folder next to a file; deletes it at the end, and before that those of killed processes."""
    if is_stream(target):
        with TemporaryDirectory(prefix="together-adapters-") as folder:
            yield Path(folder)
        return
    target = Path(os.path.realpath(target))
    name = f".{target.name[:_NAME_LENGTH]}"
    draft = target.with_name(f"{name}.{token_hex(4)}.draft")
    try:
        with _lock_folder(target.parent):
            for other in target.parent.glob(f"{escape(name)}.????????.draft"):
                _delete_abandoned(other)
            draft.mkdir(mode=0o700)
            lock = _lock(draft / _LOCK)
    except OSError as error:
        error.filename = str(target.parent)
        raise
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _delete_abandoned(draft: Path) -> None:
    """Deletes the folder of a process that ended without doing so; a living process has it locked."""
    lock = _lock(draft / _LOCK)
    if lock is not None:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(lock)


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Keeps other processes that write to a folder waiting, where the system can lock folders."""
    lock = _lock(folder, wait=True)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _lock(path: Path, *, wait: bool = False) -> int | None:
    """Locks a folder or file until the descriptor is closed or its process ends; None if it is locked, or cannot be."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | (os.O_CREAT if path.name == _LOCK else 0), 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
