"""What the service did, as `together-adapters doctor --record DIR` wrote it, in place of what the emulator takes it to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from together_adapters.emulator.errors import ApiError
from together_adapters.emulator.http.behaviour import Behaviour

FILE: Final = "doctor.json"
_PLACEHOLDERS: Final = {
    "unknown-parameter": "doctor_parameter",
    "unknown-model": "together-adapters/does-not-exist",
    "embeddings": "intfloat/multilingual-e5-large-instruct",  # models-check: ignore
    "rerank": "mixedbread-ai/Mxbai-Rerank-Large-V2",  # models-check: ignore
}
"""Names that the doctor has sent, which recorded messages repeat."""


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """The facts of a record by the names of the doctor's probes, and where it comes from; without a record, none."""

    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    origin: str = ""

    @classmethod
    def read(cls, folder: str | Path) -> ServiceRecord:
        """Reads a record.

        Raises:
            ValueError: The folder has none, or one of another version.
        """
        path = Path(folder, FILE)
        try:
            data = json.loads(path.read_text("utf-8"))
        except OSError:
            raise ValueError(f"{path} cannot be read: `together-adapters doctor --record DIR` writes it") from None
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}") from None
        if not isinstance(data, dict) or data.get("version") != 1 or not isinstance(data.get("facts"), dict):
            raise ValueError(f"{path} is not a record of this version of `together-adapters doctor`")
        date = f" on {data['recorded_on']}" if "recorded_on" in data else ""
        return cls(data["facts"], f"{folder}{date}")

    def behaviour(self) -> Behaviour:
        """Returns the behaviour that the calls have shown; the rest is that of the service of today."""
        chat, stream = self._of("chat"), self._of("chat-stream")
        changes: dict[str, Any] = {"cached_tokens": chat.get("cached_tokens"), "logprobs": self._of("logprobs").get("logprobs")}
        if stream.get("status") == 200:
            names = ("role_every_chunk", "null_content")
            changes |= {"usage": stream.get("usage") or "asked", **{name: stream.get(name) for name in names}}
        if self._of("embeddings").get("status") == 200:
            changes["embedding_usage"] = self._of("embeddings").get("usage")
        reasons = self._of("finish-reasons").get("finish_reasons") or {}
        if reasons.get("eos", 0) > reasons.get("stop", 0):
            changes["finish"] = "eos"
        try:
            return Behaviour(strict=True, **{name: value for name, value in changes.items() if value is not None})
        except ValueError as error:
            raise ValueError(f"{FILE}: {error}") from None

    def error(self, name: str, default: ApiError, subject: str | None = None) -> ApiError | None:
        """Returns the error of a probe, about another subject than its own; None if there was none, and the default if nobody knows."""
        facts = self._of(name)
        status = facts.get("status")
        if not isinstance(status, int):
            return default
        if status < 400:
            return None
        message, placeholder = str(facts.get("message") or default.message), _PLACEHOLDERS.get(name)
        param = facts.get("param")
        if placeholder and subject:
            message = message.replace(placeholder, subject)
            param = subject if param == placeholder else param
        kind = str(facts.get("type") or default.type)
        return replace(default, status=status, message=message, type=kind, param=param, code=facts.get("code"))

    def refusal(self, name: str, default: ApiError) -> ApiError | None:
        """Returns the error of a probe where the service was seen to refuse what the emulator takes it to accept."""
        return self.error(name, default) if name in self.facts else None

    def has_path(self, path: str) -> bool:
        """Whether a path answered, as far as it was seen."""
        return bool(self._of("evaluation-path").get(path) != 404)

    def event_type(self, type: str) -> str:
        """Returns the type of a job's event in the case that was seen."""
        return type.lower() if self._of("event-case").get("case") == "lower" else type

    @property
    def base64(self) -> bool:
        """Whether embeddings come as base64 where that is asked for."""
        return bool(self._of("base64").get("embedding", "str") == "str")

    def has_header(self, name: str) -> bool:
        """Whether a header about limits was seen, or none was looked for."""
        headers = self._of("limit-headers").get("headers")
        return headers is None or name in headers

    def _of(self, name: str) -> Mapping[str, Any]:
        facts = self.facts.get(name)
        return facts if isinstance(facts, Mapping) else {}
