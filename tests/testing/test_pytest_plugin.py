"""The marker for users, in a project of their own: recorded once with a server, replayed ever after without one, beside other plugins."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.packaging.test_imports import BLOCK
from tests.testing.conftest import NOWHERE
from tests.testing.test_page import MARKER
from together_adapters.emulator import Emulator
from together_adapters.testing.recording_file import load

PLUGIN = "together_adapters.testing.pytest_plugin"
TESTS = """
import sys
AT_COLLECTION = {"httpx", "yaml", "pydantic"} & set(sys.modules)
import pytest
from together_adapters import AsyncTogether, Together
from together_adapters.testing import record

RECORDS = "--together-record" in str(sys.orig_argv)

def ask(text="Say hello to Ann."):
    with Together() as client:
        answer = client.chat.completions.create(model="acme/any", messages=[{"role": "user", "content": text}])
    return answer.choices[0].message.content

@pytest.mark.together_record
def test_plain():
    assert ask() == "Hello to Ann."

@pytest.mark.together_record("own.yaml", redact="Ann")
@pytest.mark.parametrize("name", ["a/b", "a:b"])
def test_shared_file(name):
    assert ask(f"Say hello to {name}.") == f"Hello to {name}."

@pytest.mark.together_record
class TestGroup:
    @pytest.mark.parametrize("name", ["a/b", "a:b"])
    def test_in_a_class(self, name, together_recording):
        assert ask(f"Say hello to {name}.") == f"Hello to {name}."
        assert getattr(together_recording, "misses", []) == []

@record("decorated.yaml")
def test_decorator():
    assert ask() == "Hello to Ann."

@pytest.fixture(scope="module")
def greeting(together_recorder):
    with together_recorder("greeting.yaml"):
        return ask("Say hello to Zoe.")

def test_fixture_of_wider_scope(greeting, together_recording):
    assert greeting == "Hello to Zoe."
    assert together_recording is None

@pytest.mark.together_record
def test_with_a_fallback():
    try:
        ask("Say hello to Ann." if RECORDS else "Say hello to Bob.")
    except Exception:
        pass

@pytest.mark.together_record
def test_folders(tmp_path):
    assert ask(f"Say hello to {__file__} and {tmp_path}.") == f"Hello to {__file__} and {tmp_path}."

@pytest.mark.together_record
def test_redacted():
    assert ask("Say hello to ann@example.org.") == "Hello to ann@example.org."

@pytest.mark.together_record
def test_skipped():
    pytest.skip("not today")

@pytest.mark.together_record
@pytest.mark.skipif("RECORDS")
def test_without_a_file():
    ask()

def test_nothing_is_imported_without_use():
    assert AT_COLLECTION == set()
"""
FAILING = """
from pathlib import Path
import pytest
from together_adapters import APIConnectionError, Together

def ask(**options):
    with Together(max_retries=0, **options) as client:
        return client.chat.completions.create(model="acme/any", messages=[{"role": "user", "content": "Say hello to Ann."}])

@pytest.mark.together_record
def test_own():
    assert ask() and False

@pytest.mark.together_record("shared.yaml")
def test_shared():
    assert ask()

@pytest.mark.together_record("shared.yaml")
def test_shared_too():
    assert not (Path(__file__).parent / "fail").exists()

@pytest.mark.together_record(path="purpose.yaml")
def test_on_purpose():
    with pytest.raises(APIConnectionError):
        ask(base_url="http://127.0.0.1:9/v1")

@pytest.mark.together_record(pase=0)
def test_misspelt():
    pass

@pytest.mark.together(replies=["Good day."], any_model=True)
@pytest.mark.together_record
def test_of_replies():
    assert ask().choices[0].message.content == "Good day."
"""
BESIDE = """
import pytest
from together_adapters import Together

def models():
    with Together() as client:
        return [model.id for model in client.models.list()]

@pytest.mark.vcr
def test_cassette():
    assert models()

@pytest.mark.together_record
def test_recording():
    assert models()

@pytest.mark.vcr
@pytest.mark.together_record
def test_both():
    assert models()
"""


def run(folder: Path, base_url: str, *arguments: str, blocked: tuple[str, ...] = ()) -> tuple[int, str]:
    """Runs the tests of a folder like a user, without a key unless there is a server."""
    code = (
        BLOCK
        + f"import pytest; raise SystemExit(pytest.main(['-q', '-p', '{PLUGIN}', '-p', 'no:cacheprovider', *{arguments!r}]))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TOGETHER_"))}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TOGETHER_BASE_URL": base_url}
    if base_url != NOWHERE:
        environment["TOGETHER_API_KEY"] = "correct-horse-battery"
    done = subprocess.run(
        [sys.executable, "-c", code, *blocked],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_it_is_offered_to_every_project() -> None:
    assert {(point.name, point.value) for point in entry_points(group="pytest11")} >= {("together_testing", PLUGIN)}


@pytest.mark.long
def test_a_project_that_uses_it(tmp_path: Path, emulator: Emulator) -> None:
    project = tmp_path / "ann"
    project.mkdir()
    (project / "test_mine.py").write_text(TESTS)
    (project / "test_page.py").write_text(MARKER)
    emulator.reply("Paris.", when="France")
    status, output = run(project, emulator.base_url, "--together-record", "--strict-markers")
    assert status == 0, output
    assert "12 passed, 2 skipped" in output
    files = sorted(str(path.relative_to(project)) for path in project.rglob("*.yaml"))
    assert [file.partition("-")[0] for file in files] == [
        "decorated.yaml",
        "greeting.yaml",
        "own.yaml",
        "recordings/test_mine/TestGroup.test_in_a_class[a",
        "recordings/test_mine/TestGroup.test_in_a_class[a",
        "recordings/test_mine/test_folders.yaml",
        "recordings/test_mine/test_plain.yaml",
        "recordings/test_mine/test_redacted.yaml",
        "recordings/test_mine/test_with_a_fallback.yaml",
        "recordings/test_page/test_capital.yaml",
    ]
    assert len(load(project / "own.yaml")) == 2  # tests of one run add to a file
    assert "Ann" not in (project / "own.yaml").read_text()
    count = len(emulator.requests)
    project = project.rename(tmp_path / "bob")
    status, output = run(project, NOWHERE)
    assert status == 1
    assert "2 failed, 11 passed, 1 skipped, 1 error" in output
    assert "the program caught the error of a request without an answer" in output
    assert "current:  'Say hello to Bob.'" in output
    assert "[redacted] stood in the answer of exchange 1 (line 5), POST /v1/chat/completions, where" in output
    file = project / "recordings" / "test_mine" / "test_without_a_file.yaml"
    command = "pytest --together-record test_mine.py::test_without_a_file"
    assert f"there is no recording {file}, which would answer POST /v1/chat/completions" in output
    assert f"Make it with a key: {command}" in output
    assert len(emulator.requests) == count


@pytest.mark.long
def test_a_test_that_fails_keeps_the_recordings(tmp_path: Path, emulator: Emulator) -> None:
    """Its own, and those of tests that share its file; one that records a failure on purpose passes, and is kept."""
    (tmp_path / "test_mine.py").write_text(FAILING)
    plugins = ("-p", "together_adapters.emulator.pytest_plugin")
    status, output = run(tmp_path, emulator.base_url, *plugins, "--together-record")
    assert status == 1
    assert "1 failed, 4 passed, 1 error" in output
    assert "together_record takes path, miss, pace, redact, not 'pase'" in output
    own, shared = tmp_path / "recordings/test_mine/test_own.yaml", tmp_path / "shared.yaml"
    assert not own.exists()
    assert f"nothing is written to {own}, and an earlier file stays" in output
    assert len(load(shared)) == 1
    before = shared.read_bytes()
    (tmp_path / "fail").touch()
    status, output = run(tmp_path, emulator.base_url, *plugins, "--together-record", "-k", "shared")
    assert "1 failed, 1 passed" in output
    assert shared.read_bytes() == before
    status, output = run(tmp_path, NOWHERE, *plugins, "-k", "purpose or replies")
    assert "2 passed" in output, output


@pytest.mark.slow
def test_beside_pytest_recording(tmp_path: Path, emulator: Emulator) -> None:
    """Cassettes of vcrpy and recordings in one session, and even in one test."""
    pytest.importorskip("pytest_recording")
    (tmp_path / "test_mine.py").write_text(BESIDE)
    plugins = ("-p", "pytest_recording.plugin")
    status, output = run(tmp_path, emulator.base_url, *plugins, "--together-record", "--record-mode=once")
    assert status == 0, output
    assert sorted(path.name for path in tmp_path.rglob("cassettes/*/*.yaml")) == ["test_both.yaml", "test_cassette.yaml"]
    assert sorted(path.name for path in tmp_path.rglob("recordings/*/*.yaml")) == ["test_both.yaml", "test_recording.yaml"]
    count = len(emulator.requests)
    status, output = run(tmp_path, emulator.base_url, *plugins, "--block-network")
    assert status == 0, output
    assert len(emulator.requests) == count


@pytest.mark.long
def test_without_the_extra_it_fails_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import pytest\n\ndef test_other():\n    pass\n\n@pytest.mark.together_record\ndef test_mine():\n    pass\n"
    )
    status, output = run(tmp_path, NOWHERE, blocked=("yaml",))
    assert status == 1
    assert "1 passed" in output
    assert output.count("Traceback") == output.count("During handling") == 0
    assert 'recording needs yaml: pip install "together-adapters[testing]"' in output


@pytest.mark.slow
def test_workers_share_a_file(tmp_path: Path, emulator: Emulator) -> None:
    pytest.importorskip("xdist")
    (tmp_path / "test_mine.py").write_text(TESTS)
    status, output = run(tmp_path, emulator.base_url, "--together-record", "-p", "xdist", "-n", "2")
    assert status == 0, output
    assert len(load(tmp_path / "own.yaml")) == 2
    status, output = run(tmp_path, emulator.base_url, "--together-record", "-k", "shared_file")
    assert status == 0, output
    assert len(load(tmp_path / "own.yaml")) == 2  # another run begins anew
