"""The parameters of an evaluation from flat arguments. Each type has its own; what belongs to another is refused, not dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

NEEDED: Final = {
    "classify": ("labels", "pass_labels"),
    "score": ("min_score", "max_score", "pass_threshold"),
    "compare": ("model_a", "model_b"),
}
_OPTIONAL: Final = {
    "classify": ("model_to_evaluate",),
    "score": ("model_to_evaluate",),
    "compare": ("disable_position_bias_correction",),
}
_MODELS: Final = ("model_to_evaluate", "model_a", "model_b")
_JUDGE: Final = ("judge_model", "judge_model_source", "judge_system_template")
_SOURCES: Final = ("serverless", "dedicated", "external")
MODEL_FIELDS: Final = ("model", "model_source", "max_tokens", "temperature", "system_template", "input_template")


def parameters_of(given: Mapping[str, Any], raw: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parameters as the service takes them.

    Args:
        given: The flat arguments by name, with `type`.
        raw: The parameters themselves, in place of the flat arguments.

    Raises:
        ValueError: Something is missing, belongs to another type, or is given twice.
    """
    kind = given["type"]
    if kind not in NEEDED:
        raise ValueError(f"type={kind!r} must be one of {', '.join(NEEDED)}")
    if raw is not None:
        if twice := [name for name, value in given.items() if name != "type" and value is not None]:
            raise ValueError(f"parameters= stands in place of {', '.join(twice)}: give one or the other")
        return dict(raw)
    _check_needed(given, (*_JUDGE, "input_data_file_path"), "every evaluation")
    _check_needed(given, NEEDED[kind], f"type={kind!r}")
    _check_foreign(given, kind)
    _check_sense(given, kind)
    made = {"judge": _judge(given), "input_data_file_path": given["input_data_file_path"]}
    for name in (*NEEDED[kind], *_OPTIONAL[kind]):
        if given[name] is not None:
            made[name] = _model(name, given[name]) if name in _MODELS else given[name]
    return made


def _check_needed(given: Mapping[str, Any], names: tuple[str, ...], whose: str) -> None:
    if missing := [name for name in names if given[name] is None]:
        raise ValueError(f"{whose} needs {', '.join(missing)}")


def _check_foreign(given: Mapping[str, Any], kind: str) -> None:
    for other in NEEDED:
        for name in (*NEEDED[other], *_OPTIONAL[other]):
            if name not in (*NEEDED[kind], *_OPTIONAL[kind]) and given[name] is not None:
                raise ValueError(f"{name}={given[name]!r} goes with type={other!r}, not with {kind!r}")


def _check_sense(given: Mapping[str, Any], kind: str) -> None:
    if kind == "classify" and (strange := [label for label in given["pass_labels"] if label not in given["labels"]]):
        raise ValueError(f"pass_labels={given['pass_labels']!r}: {strange[0]!r} is none of labels={given['labels']!r}")
    if kind == "score" and not given["min_score"] < given["max_score"]:
        raise ValueError(f"min_score={given['min_score']!r} must be below max_score={given['max_score']!r}")


def _judge(given: Mapping[str, Any]) -> dict[str, Any]:
    source, token = given["judge_model_source"], given["judge_external_api_token"]
    _check_source("judge_model_source", source)
    if source == "external" and not token:
        raise ValueError("judge_model_source='external' needs judge_external_api_token")
    judge = {"model": given["judge_model"], "model_source": source, "system_template": given["judge_system_template"]}
    more = {"external_api_token": token, "external_base_url": given["judge_external_base_url"]}
    return judge | {name: value for name, value in more.items() if value is not None}


def _model(name: str, given: Any) -> Any:
    """A column by its name, or a model with all that it needs to answer."""
    if isinstance(given, str):
        return given
    if hasattr(given, "model_dump"):
        given = given.model_dump(exclude_none=True)
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must be the name of a column or a mapping, not {type(given).__name__}")
    if missing := [field for field in MODEL_FIELDS if field not in given]:
        raise ValueError(f"{name} needs {', '.join(missing)}")
    _check_source(f"{name}['model_source']", given["model_source"])
    if given["model_source"] == "external" and not given.get("external_api_token"):
        raise ValueError(f"{name} has model_source='external' and so needs external_api_token")
    return dict(given)


def _check_source(name: str, source: Any) -> None:
    if source not in _SOURCES:
        raise ValueError(f"{name}={source!r} must be one of {', '.join(_SOURCES)}")
