"""The marker `together_record` and the option `--together-record`, available wherever this package is installed.

@pytest.mark.together_record  # tests/recordings/test_agent/test_weather.yaml
def test_weather():
    assert "sunny" in my_agent.run("What is the weather in Rome?")

The first time, and whenever the service is to be asked again: `pytest --together-record`. Nothing is imported until it is used.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from together_adapters.testing.sessions import RecordSession, ReplaySession

__tracebackhide__ = True
_OPTION = "--together-record"
_OUTCOME = pytest.StashKey[str]()
_RECORDING = pytest.StashKey["RecordSession | ReplaySession"]()
_ARGUMENTS = ("path", "miss", "pace", "redact")
_FOLDER = "recordings"
_MAX_NAME = 150


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option."""
    group = parser.getgroup("together_adapters")
    group.addoption(_OPTION, action="store_true", help="record the exchanges of tests marked together_record anew")


def pytest_configure(config: pytest.Config) -> None:
    """Describes the marker."""
    config.addinivalue_line(
        "markers",
        "together_record(path=None, miss='error', pace=1.0, redact=()): replays the exchanges of this test with Together from a file, "
        f"`{_FOLDER}/MODULE/TEST.yaml` beside it; {_OPTION} records them",
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Notes how a test ended: nothing is written for one that failed, was skipped or interrupted."""
    outcome = yield
    if call.when == "call":
        report = outcome.get_result()
        item.stash[_OUTCOME] = report.outcome
        session = item.stash.get(_RECORDING, None)
        if session is not None and report.outcome == "failed" and (note := _note(session)):
            report.sections.append(("together_record", f"{note}\n"))


@pytest.fixture(scope="session")
def together_recorder(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., AbstractContextManager[RecordSession | ReplaySession]]:
    """Replays files in fixtures of wider scope, or records them with the option.

    @pytest.fixture(scope="session")
    def index(together_recorder):
        with together_recorder("tests/recordings/index.yaml"):  # relative to pytest's root
            return build_index()
    """
    base = tmp_path_factory.getbasetemp()
    return partial(_session, records=bool(pytestconfig.getoption(_OPTION)), root=pytestconfig.rootpath, base=base)


@pytest.fixture(autouse=True)
def together_recording(request: pytest.FixtureRequest) -> Iterator[RecordSession | ReplaySession | None]:
    """The recording of a test that is marked `together_record`: a `RecordSession` or a `ReplaySession`; None for any other."""
    marker = request.node.get_closest_marker("together_record")
    if marker is None:
        yield None
        return
    arguments = _arguments(marker)
    recorder, stash = request.getfixturevalue("together_recorder"), request.node.stash
    command = f"pytest {_OPTION} {shlex.quote(request.node.nodeid)}"
    path = _path(request.node, arguments.pop("path", None))
    with recorder(path, command=command, outcome=lambda: stash.get(_OUTCOME, "skipped"), **arguments) as session:
        stash[_RECORDING] = session
        yield session
    misses = getattr(session, "misses", ())
    if misses and arguments.get("miss") != "emulate" and stash.get(_OUTCOME, "") == "passed":
        pytest.fail(f"the program caught the error of a request without an answer:\n{misses[0]}", pytrace=False)


def _note(session: RecordSession | ReplaySession) -> str:
    """Returns what somebody should know whose test has failed."""
    from together_adapters.testing import RecordSession

    if isinstance(session, RecordSession):
        return session.describe_loss()
    exchanges = session.redacted_exchanges
    return (
        f"[redacted] stood in the answer of {', '.join(exchanges)}, where the service had said something else"
        if exchanges
        else ""
    )


@contextmanager
def _session(
    path: str | os.PathLike[str],
    *,
    records: bool,
    root: Path,
    base: Path,
    command: str = f"pytest {_OPTION}",
    miss: Literal["error", "emulate"] = "error",
    pace: float = 1.0,
    redact: Any = (),
    outcome: Callable[[], str] = lambda: "passed",
) -> Iterator[RecordSession | ReplaySession]:
    try:
        from together_adapters.testing import RecordSession, ReplaySession
        from together_adapters.testing.folders import Folders
    except ImportError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    path, folders = root / path, Folders(root, base)
    if not records:
        advice = f"{'Record it anew' if path.exists() else 'Make it with a key'}: {command}"
        with ReplaySession(path, miss=miss, pace=pace, advice=advice, is_required=False, folders=folders) as session:
            yield session
        return
    recording = RecordSession(path, overwrite=True, redact=redact, folders=folders)
    try:
        with recording.running():
            yield recording
    except Exception as error:
        error.add_note(recording.describe_loss())
        raise
    has_failed = outcome() == "failed"
    if has_failed or (outcome() != "skipped" and recording.exchanges):
        run = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base  # shared by the workers of one run
        _save(recording, run, command, has_failed=has_failed)


def _save(session: RecordSession, run: Path, test: str, *, has_failed: bool) -> None:
    """Writes a file with what other tests of this run have recorded for it; while one of them has failed, the file of before stays."""
    from filelock import FileLock

    from together_adapters.testing.recording_file import load

    mark = run / f"together-record-{sha256(str(session.path.resolve()).encode()).hexdigest()[:32]}"
    before, current = Path(f"{mark}.before"), Path(f"{mark}.current")
    with FileLock(f"{mark}.lock"):
        if not mark.exists() and session.path.exists():
            copyfile(session.path, before)
        failed = set(mark.read_text("utf-8").splitlines() if mark.exists() else ())
        failed = failed | {test} if has_failed else failed - {test}  # a plugin may run it again
        if not has_failed:
            session.save(load(current) if current.exists() else ())
            copyfile(session.path, current)
        if failed:
            _restore(session.path, before)
        mark.write_text("\n".join(failed), "utf-8")


def _restore(path: Path, before: Path) -> None:
    from together_adapters.atomic_files import new_files

    if not before.exists():
        path.unlink(missing_ok=True)
    elif path.read_bytes() != before.read_bytes():
        with new_files({path: True}) as (draft,):
            copyfile(before, draft)


def _arguments(marker: pytest.Mark) -> dict[str, Any]:
    arguments = {**dict(zip(_ARGUMENTS, marker.args, strict=False)), **marker.kwargs}
    unknown = [*map(repr, marker.args[1:]), *map(repr, sorted(marker.kwargs.keys() - set(_ARGUMENTS)))]
    if unknown:
        pytest.fail(f"@pytest.mark.together_record takes {', '.join(_ARGUMENTS)}, not {unknown[0]}", pytrace=False)
    return arguments


def _path(item: pytest.Item, path: str | os.PathLike[str] | None) -> Path:
    """Returns the file of a test; relative paths are beside it."""
    if path is not None:
        return item.path.parent / path
    name = item.nodeid.partition("::")[2].replace("::", ".")
    file_name = re.sub(r"[^\w.\-\[\]]+", "-", name)[:_MAX_NAME]
    if file_name != name:
        file_name += f"-{sha256(name.encode()).hexdigest()[:6]}"
    return item.path.parent / _FOLDER / item.path.stem / f"{file_name}.yaml"
