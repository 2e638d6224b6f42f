"""The pytest fixture `together_emulator` and its marker, available wherever this package is installed. Nothing is imported until they are used.

def test_my_program(together_emulator):
    my_program.main()  # its clients use the emulator, because of environment variables
    assert together_emulator.requests[0].json["model"] == "..."

@pytest.mark.together(replies=["Paris."], fault="429")
def test_my_program_when_busy():
    assert my_program.answer("What is the capital of France?") == "Paris."
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from together_adapters.emulator.server import Emulator

_FIXTURE = "together_emulator"
_DEFAULTS: dict[str, Any] = {
    "replies": (),
    "fault": (),
    "models": None,
    "any_model": False,
    "limits": None,
    "allow_unused": False,
}
_NEARNESS = 0.8  # "together_record" is less near
_RUNNING = pytest.StashKey[tuple["Emulator", bool]]()


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line(
        "markers",
        "together(*, replies=[], fault=None, models=None, any_model=False, limits=None, allow_unused=False): runs the test with an emulator that gives these replies, which are texts, functions of the request or dicts of what "
        "`Emulator.reply` takes, and fails once by `fault`, which may be a list. A model that does not exist gets a 404, unless `any_model`. The test fails if a reply is not asked for.",
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Starts the emulator for tests that are marked: behind autouse fixtures, before those that the test names."""
    for marker in item.iter_markers():
        if _is_mistyped(marker.name) and not _is_registered(marker.name, item.config):
            item.warn(
                pytest.PytestUnknownMarkWarning(f"@pytest.mark.{marker.name} starts no emulator: @pytest.mark.together does")
            )
    names = getattr(item, "fixturenames", None)
    if names is not None and _FIXTURE not in names and item.get_closest_marker("together"):
        named = set(inspect.signature(item.function).parameters) if isinstance(item, pytest.Function) else set()
        names.insert(next((index for index, name in enumerate(names) if name in named), len(names)), _FIXTURE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fails a test that has passed although a reply was not asked for, or the function that makes it has failed."""
    result = yield
    if (running := item.stash.get(_RUNNING, None)) is not None:
        emulator, allows_unused = running
        if failures := emulator.failures:
            pytest.fail(f"The function that makes a reply of the emulator failed:\n{failures[0]}", pytrace=False)
        is_replayed = item.get_closest_marker("together_record") and not item.config.getoption("--together-record", True)
        if not allows_unused and not is_replayed and (unused := emulator.unused):
            pytest.fail(_describe(unused), pytrace=False)
    return result


@lru_cache
def _is_mistyped(name: str) -> bool:
    from difflib import get_close_matches

    return name != "together" and bool(get_close_matches(name.lower(), ["together"], 1, _NEARNESS))


def _is_registered(name: str, config: pytest.Config) -> bool:
    return any(line.partition(":")[0].partition("(")[0].strip() == name for line in config.getini("markers"))


def _describe(unused: Sequence[object]) -> str:
    lines = "\n".join(f"  {reply!r}" for reply in unused)
    return f"Nobody asked for these replies; allow_unused=True in @pytest.mark.together permits that:\n{lines}"


def _arguments(item: pytest.Item) -> dict[str, Any]:
    """Returns the arguments of the marker: those of the function before those of its class and module."""
    result = dict(_DEFAULTS)
    for marker in reversed(list(item.iter_markers("together"))):
        unknown = sorted(marker.kwargs.keys() - _DEFAULTS.keys())
        if marker.args or unknown:
            wrong = repr(unknown[0]) if unknown else f"arguments without a name such as {marker.args[0]!r}"
            others = "the fixture together_emulator_options returns other arguments of serve, such as behaviour"
            pytest.fail(f"@pytest.mark.together takes {', '.join(_DEFAULTS)}, not {wrong}; {others}", pytrace=False)
        result |= marker.kwargs
    return result


@pytest.fixture
def together_emulator_options() -> dict[str, Any]:
    """Arguments for `together_adapters.emulator.serve`, and `allow_unused`; override this fixture to change them."""
    return {}


@pytest.fixture
def together_emulator(
    together_emulator_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Emulator]:
    """A local Together API for one test. `TOGETHER_BASE_URL` and `TOGETHER_API_KEY` are set for clients.

    The test fails on replies that nobody asked for, unless `allow_unused` says that it may not ask for all of them.
    """
    try:
        from together_adapters.emulator import serve
    except ImportError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    arguments = _arguments(request.node)
    options = {
        **together_emulator_options,
        **{name: arguments[name] for name in ("models", "any_model", "limits") if arguments[name]},
    }
    allows_unused = options.pop("allow_unused", False) or arguments["allow_unused"]
    with serve(**options) as emulator:
        faults = arguments["fault"] or ()
        emulator.inject(*(faults if isinstance(faults, list | tuple) else [faults]))
        replies = arguments["replies"]
        for reply in replies if isinstance(replies, list | tuple) else [replies]:
            try:
                emulator.reply(**reply) if isinstance(reply, Mapping) else emulator.reply(reply)
            except (TypeError, ValueError) as error:
                raise pytest.fail.Exception(f"@pytest.mark.together cannot answer {reply!r}: {error}", pytrace=False) from None
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        request.node.stash[_RUNNING] = emulator, allows_unused
        yield emulator
