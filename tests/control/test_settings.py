"""The arguments of a control: what has no meaning is an error at once that names the argument and the value."""

from __future__ import annotations

import os
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import KEY
from together_adapters import ConfigurationError, Control, Together

NO_NUMBERS: list[Any] = [-1, "5", "", float("nan"), float("inf"), True, [], pytest.param(10**400, id="huge"), Decimal(5)]


@pytest.mark.parametrize("value", [0, *NO_NUMBERS])
@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
def test_a_rate_is_a_number_above_zero(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a number above 0, or None .*, not "):
        Control(**{name: value})


@pytest.mark.parametrize("value", [0, 1.5, *NO_NUMBERS])
def test_concurrency_is_a_whole_number(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_concurrency must be a whole number from 1, or None .*, not ") as caught:
        Control(max_concurrency=value)
    assert str(caught.value).endswith(f"not {value!r}")


@pytest.mark.parametrize("value", [1e300, *NO_NUMBERS])
def test_a_budget_is_dollars(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="budget must be dollars, not "):
        Control(budget=value)


@pytest.mark.parametrize("value", [3, True, b"usage.sqlite", "", [], "usage\0.sqlite"])
@pytest.mark.parametrize("name", ["ledger", "share"])
def test_a_file_has_a_path(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be the path of a file.*, not "):
        Control(**{name: value})


def test_what_has_a_meaning() -> None:
    control = Control(requests_per_minute=0.5, tokens_per_minute=10**9, max_concurrency=1, budget=0)
    assert repr(control) == "Control(requests_per_minute=0.5, tokens_per_minute=1000000000, max_concurrency=1, budget=0)"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    control = Control(ledger="~/usage.sqlite", share=Path("~/limits.sqlite"), max_concurrency=1)
    control.close()
    assert control.ledger.path == tmp_path / "usage.sqlite"
    assert (tmp_path / "limits.sqlite").exists()


def test_a_pickle_names_the_same_files_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    control = Control(ledger="usage.sqlite", share="limits.sqlite", max_concurrency=1)
    content = pickle.dumps(control)
    monkeypatch.chdir("other")
    copy = pickle.loads(content)
    assert copy.ledger.path == tmp_path / "usage.sqlite"
    assert os.listdir() == []
    control.close()
    copy.close()


def test_the_class_is_no_control() -> None:
    with pytest.raises(ConfigurationError, match=r"control must be a together_adapters\.Control, not type"):
        Together(api_key=KEY, control=Control)  # type: ignore[arg-type]


def test_a_tag_may_have_any_name() -> None:
    control = Control()
    with control.tag(self="a", name="b"):
        assert control.current_tags() == {"self": "a", "name": "b"}
