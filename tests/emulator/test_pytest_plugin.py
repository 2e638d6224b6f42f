"""The fixture for users: in a project of their own, without the extra, and without cost where it is not used."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from tests.packaging.test_imports import BLOCK

PLUGIN = "together_adapters.emulator.pytest_plugin"
TESTS = """
import sys
AT_COLLECTION = {"httpx", "pydantic", "starlette", "uvicorn", "asyncio"} & set(sys.modules)

def test_nothing_is_imported_without_use():
    assert AT_COLLECTION == set()

def test_clients_find_it(together_emulator):
    from together_adapters import Together
    with Together() as client:
        said = client.chat.completions.create(model="acme/any", messages=[{"role": "user", "content": "Say hello to Ann."}])
    assert said.choices[0].message.content == "Hello to Ann."
    assert len(together_emulator.requests) == 1

def test_each_test_has_its_own(together_emulator):
    assert together_emulator.requests == []
"""
OPTIONS = """
import pytest

from together_adapters.emulator import Limits

@pytest.fixture
def together_emulator_options():
    return {"api_key": "only", "job_seconds": 0, "limits": Limits(requests_per_minute=1)}

def test_options(together_emulator):
    from together_adapters import AuthenticationError, Together
    with Together() as client, Together(api_key="another") as stranger:
        assert client.models.list()
        with pytest.raises(AuthenticationError):
            stranger.models.list()

def test_limits_and_bill(together_emulator):
    from together_adapters import RateLimitError, Together
    question = {"model": "acme/any", "messages": [{"role": "user", "content": "Hello!"}]}
    with Together(max_retries=0) as client:
        usage = client.chat.completions.create(**question).usage
        with pytest.raises(RateLimitError):
            client.chat.completions.create(**question)
        together_emulator.limits = None
        client.chat.completions.create(**question)
    total = together_emulator.bill.total()
    assert (total.requests, total.input_tokens, total.output_tokens) == (2, 2 * usage.prompt_tokens, 2 * usage.completion_tokens)
"""


def run(folder: Path, tests: str, *blocked: str) -> tuple[int, str]:
    """Runs tests like a user, without other plugins and without some packages."""
    (folder / "test_mine.py").write_text(tests)
    code = BLOCK + f"import pytest; raise SystemExit(pytest.main(['-q', '-p', '{PLUGIN}', '-p', 'no:cacheprovider']))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TOGETHER_"))}
    done = subprocess.run(
        [sys.executable, "-c", code, *blocked],
        cwd=folder,
        env={**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_it_is_offered_to_every_project() -> None:
    assert {(point.name, point.value) for point in entry_points(group="pytest11")} >= {("together_emulator", PLUGIN)}


def test_a_project_that_uses_it(tmp_path: Path) -> None:
    status, output = run(tmp_path, TESTS)
    assert status == 0, output
    assert "3 passed" in output


def test_options_are_a_fixture_to_override(tmp_path: Path) -> None:
    status, output = run(tmp_path, OPTIONS)
    assert status == 0, output


def test_without_the_extra_it_fails_in_one_line(tmp_path: Path) -> None:
    status, output = run(tmp_path, TESTS, "starlette", "uvicorn")
    assert status == 1
    assert "1 passed" in output
    assert "2 errors" in output
    assert output.count("Traceback") == 0
    assert 'the emulator needs starlette and uvicorn: pip install "together-adapters[emulator]"' in output
