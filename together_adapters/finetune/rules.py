"""The rules of the service as facts: formats, fields, limits. Any change is a new version, which every report names.

Source: the service's documentation of its data formats and the checks of the vendor's SDK 1.5 to 3.1, as of August 2026. Where
they differ, or accept what cannot train, the stricter reading is used; the severity of each rule can be changed.
"""

from __future__ import annotations

from typing import Final

RULES_VERSION: Final = "together-2026-08"

MAX_FILE_BYTES: Final = int(50.1 * 2**30)
MAX_LINE_BYTES: Final = 160 * 2**20  # ten images of 10 MiB in base64 are 134 MiB

FORMATS: Final[dict[str, frozenset[str]]] = {
    "general": frozenset({"text"}),
    "conversation": frozenset({"messages"}),
    "instruction": frozenset({"prompt", "completion"}),
    "preference": frozenset({"input", "preferred_output", "non_preferred_output"}),
}
"""The required columns of each format."""

OPTIONAL: Final = dict.fromkeys(FORMATS, frozenset({"weight"})) | {"conversation": frozenset({"weight", "tools"})}

METHODS: Final[dict[str, frozenset[str]]] = {
    "sft": frozenset({"general", "conversation", "instruction"}),
    "dpo": frozenset({"preference"}),
}
"""The formats that train with each method."""

_KINDS: Final = {"general": "text", "conversation": "conversations", "instruction": "instructions", "preference": "preferences"}


def method_mismatch(form: str, method: str) -> str:
    """Returns why rows of a format do not train with a method, and which method fits."""
    kinds = [kind for name, kind in _KINDS.items() if name in METHODS[method]]
    fitting = next(name for name, formats in METHODS.items() if form in formats)
    trained = " and ".join(part for part in (", ".join(kinds[:-1]), kinds[-1]) if part)
    return f"does not train with {method}: the rows are {_KINDS[form]}, and {method} trains {trained}; method={fitting!r} fits"


ROLES: Final = ("system", "user", "assistant", "tool")
MESSAGE_KEYS: Final = frozenset(
    {"role", "content", "weight", "name", "tool_calls", "tool_call_id", "reasoning", "reasoning_content"}
)

IMAGE_PREFIXES: Final = {"data:image/jpeg;base64,": "jpeg", "data:image/png;base64,": "png", "data:image/webp;base64,": "webp"}
MAX_IMAGES: Final = 10
MAX_IMAGE_URL: Final = len("data:image/jpeg;base64,") + 4 * 10 * 2**20 // 3

TOKENIZED_NEEDED: Final = "input_ids"
TOKENIZED_COLUMNS: Final = frozenset({"input_ids", "attention_mask", "labels", "position_ids"})

BATCH_MAX_ROWS: Final = 50_000
BATCH_MAX_BYTES: Final = 100_000_000
BATCH_MAX_ID: Final = 64
