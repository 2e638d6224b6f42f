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
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from together_adapters.testing.sessions import RecordSession, ReplaySession

__tracebackhide__ = True
_OPTION = "--together-record"
_OUTCOME = pytest.StashKey[str]()
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
    """Notes how a test ended: nothing is written for one that was skipped or interrupted."""
    outcome = yield
    if call.when == "call":
        item.stash[_OUTCOME] = outcome.get_result().outcome


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
    run = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base  # shared by the workers of one run
    return partial(_session, records=bool(pytestconfig.getoption(_OPTION)), root=pytestconfig.rootpath, run=run)


@pytest.fixture(autouse=True)
def together_recording(request: pytest.FixtureRequest) -> Iterator[RecordSession | ReplaySession | None]:
    """The recording of a test that is marked `together_record`: a `RecordSession` or a `ReplaySession`; None for any other."""
    marker = request.node.get_closest_marker("together_record")
    if marker is None:
        yield None
        return
    recorder, stash = request.getfixturevalue("together_recorder"), request.node.stash
    command = f"pytest {_OPTION} {shlex.quote(request.node.nodeid)}"
    path = _path(request.node, *marker.args)
    with recorder(
        path, command=command, is_complete=lambda: stash.get(_OUTCOME, "skipped") != "skipped", **marker.kwargs
    ) as session:
        yield session
    misses = getattr(session, "misses", ())
    if misses and marker.kwargs.get("miss") != "emulate" and stash.get(_OUTCOME, "") == "passed":
        pytest.fail(f"the program caught the error of a request without an answer:\n{misses[0]}", pytrace=False)


@contextmanager
def _session(
    path: str | os.PathLike[str],
    *,
    records: bool,
    root: Path,
    run: Path,
    command: str = f"pytest {_OPTION}",
    miss: Literal["error", "emulate"] = "error",
    pace: float = 1.0,
    redact: Any = (),
    is_complete: Callable[[], bool] = lambda: True,
) -> Iterator[RecordSession | ReplaySession]:
    try:
        from together_adapters.testing import RecordSession, ReplaySession
    except ImportError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    path = root / path
    if not records:
        advice = f"{'Record it anew' if path.exists() else 'Make it with a key'}: {command}"
        with ReplaySession(path, miss=miss, pace=pace, advice=advice, is_required=False) as session:
            yield session
        return
    recording = RecordSession(path, overwrite=True, redact=redact)
    with recording.running():
        yield recording
    if is_complete() and recording.exchanges:
        _save(recording, run)


def _save(session: RecordSession, run: Path) -> None:
    """Writes a file, or adds to what other tests have written to it in this run."""
    from filelock import FileLock

    from together_adapters.testing.recording_file import load

    mark = run / f"together-record-{sha256(str(session.path.resolve()).encode()).hexdigest()[:32]}"
    with FileLock(f"{mark}.lock"):
        session.save(load(session.path) if mark.exists() and session.path.exists() else ())
        mark.touch()


def _path(item: pytest.Item, path: str | os.PathLike[str] | None = None) -> Path:
    """Returns the file of a test; relative paths are beside it."""
    if path is not None:
        return item.path.parent / path
    name = item.nodeid.partition("::")[2].replace("::", ".")
    file_name = re.sub(r"[^\w.\-\[\]]+", "-", name)[:_MAX_NAME]
    if file_name != name:
        file_name += f"-{sha256(name.encode()).hexdigest()[:6]}"
    return item.path.parent / _FOLDER / item.path.stem / f"{file_name}.yaml"
