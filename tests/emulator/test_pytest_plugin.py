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
        said = client.chat.completions.create(model="openai/gpt-oss-120b", messages=[{"role": "user", "content": "Say hello to Ann."}])
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
    question = {"model": "openai/gpt-oss-120b", "messages": [{"role": "user", "content": "Hello!"}]}
    with Together(max_retries=0) as client:
        usage = client.chat.completions.create(**question).usage
        with pytest.raises(RateLimitError):
            client.chat.completions.create(**question)
        together_emulator.limits = None
        client.chat.completions.create(**question)
    total = together_emulator.bill.total()
    assert (total.requests, total.input_tokens, total.output_tokens) == (2, 2 * usage.prompt_tokens, 2 * usage.completion_tokens)
"""

MARKED = """
import os
import pytest
from together_adapters import NotFoundError, RateLimitError, Together

def ask(**options):
    with Together(**options) as client:
        chat = client.chat.completions.create(model="small", messages=[{"role": "user", "content": "Capital of France?"}])
        return chat.choices[0].message

@pytest.fixture
def client_of_the_program():
    return os.environ.get("TOGETHER_BASE_URL")

@pytest.mark.together(replies=["Paris.", {"tool_calls": [("weather", {"city": "Rome"})], "when": "France"}], models=["small"])
class TestWithReplies:
    def test_of_the_class(self, client_of_the_program):
        assert client_of_the_program.startswith("http://127.0.0.1")
        assert ask().content == "Paris."
        assert ask().tool_calls[0].function.name == "weather"

    @pytest.mark.together(replies=[lambda request: "Lyon."], fault="429")
    def test_of_the_function(self, together_emulator):
        with pytest.raises(RateLimitError):
            ask(max_retries=0)
        assert ask().content == "Lyon."
        assert [request.json["model"] for request in together_emulator.requests] == ["small"] * 2

@pytest.mark.together(replies=["Paris."], models=["small"], allow_unused=True)
def test_that_may_leave_replies():
    pass

@pytest.mark.together(replies=["Paris."], any_model=True)
def test_any_name():
    assert ask().content == "Paris."

@pytest.mark.together(replies=["Paris."], allow_unused=True)
def test_names_are_real_by_default():
    with pytest.raises(NotFoundError, match="Unable to access model small"):
        ask()

def test_without():
    assert "TOGETHER_BASE_URL" not in os.environ
"""
FAILING = """
import pytest
from together_adapters import BadRequestError, Together

@pytest.mark.together(replies=["Paris.", {"content": "Rome.", "times": 2, "when": "Italy"}])
def test_unused():
    pass

def test_unused_without_marker(together_emulator):
    together_emulator.reply("Lyon.")

@pytest.mark.together(replies=["Paris."])
def test_that_fails_itself():
    assert 1 == 2

@pytest.mark.together(replies=[lambda request: {"content": request["seed"]}])
def test_function():
    with pytest.raises(BadRequestError), Together() as client:
        client.chat.completions.create(model="openai/gpt-oss-120b", messages=[{"role": "user", "content": "x"}])

@pytest.mark.together
def test_error(together_emulator):
    together_emulator.behave(unscripted="refuse")
    with Together() as client:
        client.chat.completions.create(model="openai/gpt-oss-120b", messages=[{"role": "user", "content": "x"}])

@pytest.mark.together(reply="Paris.")
def test_argument():
    pass

@pytest.mark.together(replies=[{"text": "Paris."}])
def test_reply():
    pass
"""

MISTYPED = """
import pytest
from together_adapters import Together

@pytest.mark.togther
def test_mistyped():
    Together()

@pytest.mark.together_record
def test_another_marker():
    pass
"""


def run(folder: Path, tests: str, *blocked: str, strict: bool = True) -> tuple[int, str]:
    """Runs tests like a user, without other plugins and without some packages."""
    (folder / "test_mine.py").write_text(tests)
    options = ["-q", "-p", PLUGIN, "-p", "no:cacheprovider", *(["--strict-markers"] if strict else [])]
    code = BLOCK + f"import pytest; raise SystemExit(pytest.main({options}))"
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


def test_the_marker(tmp_path: Path) -> None:
    status, output = run(tmp_path, MARKED)
    assert status == 0, output
    assert "6 passed" in output


def test_what_fails_with_the_marker(tmp_path: Path) -> None:
    status, output = run(tmp_path, FAILING)
    assert status == 1
    assert "5 failed" in output and "2 errors" in output
    assert (
        "Nobody asked for these replies; allow_unused=True in @pytest.mark.together permits that:\n  reply('Paris.')\n" in output
    )
    assert "  reply('Rome.', when='Italy'), 0 of 2 times" in output
    assert "  reply('Lyon.')" in output
    assert "ERROR at teardown of test_that_fails_itself" not in output  # a test that fails by itself has one failure
    assert "The function that makes a reply of the emulator failed:" in output and "KeyError: 'seed'" in output
    assert (
        "@pytest.mark.together takes replies, fault, models, any_model, limits, allow_unused, not 'reply'; the fixture together_emulator_options"
        in output
    )
    assert "\n@pytest.mark.together cannot answer {'text': 'Paris.'}: a reply has no 'text'" in output
    assert "emulator.reply sets one" in output
    assert not any(words in output for words in ("exchange.py", "sync_driver.py", "resources/chat.py", "During handling"))


def test_a_mistyped_marker_names_the_one_that_is_meant(tmp_path: Path) -> None:
    status, output = run(tmp_path, MISTYPED, strict=False)
    assert status == 1 and "1 failed, 1 passed" in output
    assert output.count("@pytest.mark.togther starts no emulator: @pytest.mark.together does") == 1
    assert "together_record starts" not in output
    assert "a test gets its own by @pytest.mark.together" in output


def test_without_the_extra_it_fails_in_one_line(tmp_path: Path) -> None:
    status, output = run(tmp_path, TESTS, "starlette", "uvicorn")
    assert status == 1
    assert "1 passed" in output
    assert "2 errors" in output
    assert output.count("Traceback") == 0
    assert 'the emulator needs starlette and uvicorn: pip install "together-adapters[emulator]"' in output
