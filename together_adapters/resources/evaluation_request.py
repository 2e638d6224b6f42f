"""The parameters of an evaluation from flat arguments. Each type has its own; those of another type are an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

REQUIRED: Final = {
    "classify": ("labels", "pass_labels"),
    "score": ("min_score", "max_score", "pass_threshold"),
    "compare": ("model_a", "model_b"),
}
_OPTIONAL: Final = {
    "classify": ("model_to_evaluate",),
    "score": ("model_to_evaluate",),
    "compare": ("disable_position_bias_correction",),
}
_ALWAYS_REQUIRED: Final = ("judge_model", "judge_model_source", "judge_system_template", "input_data_file_path")
_MODELS: Final = ("model_to_evaluate", "model_a", "model_b")
_SOURCES: Final = ("serverless", "dedicated", "external")
MODEL_FIELDS: Final = ("model", "model_source", "max_tokens", "temperature", "system_template", "input_template")

Arguments = Mapping[str, Any]


def evaluation_parameters(arguments: Arguments, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the parameters as the service takes them: from the flat arguments, or as passed."""
    kind = arguments["type"]
    if kind not in REQUIRED:
        raise ValueError(f"type={kind!r} must be one of {', '.join(REQUIRED)}")
    if parameters is not None:
        if duplicates := [name for name, value in arguments.items() if name != "type" and value is not None]:
            raise ValueError(f"pass either parameters= or {', '.join(duplicates)}")
        return dict(parameters)
    _check_required(arguments, _ALWAYS_REQUIRED, "every evaluation")
    _check_required(arguments, REQUIRED[kind], f"type={kind!r}")
    own_names = (*REQUIRED[kind], *_OPTIONAL[kind])
    for other in REQUIRED:
        for name in (*REQUIRED[other], *_OPTIONAL[other]):
            if name not in own_names and arguments[name] is not None:
                raise ValueError(f"{name}={arguments[name]!r} requires type={other!r}, not {kind!r}")
    _check_values(arguments, kind)
    result = {"judge": _judge(arguments), "input_data_file_path": arguments["input_data_file_path"]}
    for name in own_names:
        if arguments[name] is not None:
            result[name] = _model(name, arguments[name]) if name in _MODELS else arguments[name]
    return result


def _check_required(arguments: Arguments, names: tuple[str, ...], subject: str) -> None:
    if missing := [name for name in names if arguments[name] is None]:
        raise ValueError(f"{subject} requires {', '.join(missing)}")


def _check_values(arguments: Arguments, kind: str) -> None:
    labels, pass_labels = arguments["labels"], arguments["pass_labels"]
    if kind == "classify" and (unknown := [label for label in pass_labels if label not in labels]):
        raise ValueError(f"pass_labels={pass_labels!r}: {unknown[0]!r} is not one of labels={labels!r}")
    if kind == "score" and not arguments["min_score"] < arguments["max_score"]:
        raise ValueError(f"min_score={arguments['min_score']!r} must be below max_score={arguments['max_score']!r}")


def _judge(arguments: Arguments) -> dict[str, Any]:
    source, token = arguments["judge_model_source"], arguments["judge_external_api_token"]
    _check_source("judge_model_source", source)
    if source == "external" and not token:
        raise ValueError("judge_model_source='external' requires judge_external_api_token")
    judge = {"model": arguments["judge_model"], "model_source": source, "system_template": arguments["judge_system_template"]}
    external = {"external_api_token": token, "external_base_url": arguments["judge_external_base_url"]}
    return judge | {name: value for name, value in external.items() if value is not None}


def _model(name: str, value: Any) -> Any:
    """Returns the name of a column, or the validated description of a model."""
    if isinstance(value, str):
        return value
    if hasattr(value, "model_dump"):
        value = value.model_dump(exclude_none=True)
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be the name of a column or a mapping, not {type(value).__name__}")
    if missing := [field for field in MODEL_FIELDS if field not in value]:
        raise ValueError(f"{name} requires {', '.join(missing)}")
    _check_source(f"{name}['model_source']", value["model_source"])
    if value["model_source"] == "external" and not value.get("external_api_token"):
        raise ValueError(f"{name} has model_source='external', which requires external_api_token")
    return dict(value)


def _check_source(name: str, source: Any) -> None:
    if source not in _SOURCES:
        raise ValueError(f"{name}={source!r} must be one of {', '.join(_SOURCES)}")
