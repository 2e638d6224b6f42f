"""Finds secrets and personal data by their form; those without one, such as a password in a sentence, are not found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_MAX_MATCHES_PER_LINE: Final = 1000


class SecretKind(NamedTuple):
    """A kind of secret. A line with one has one of the `hints`; a file with one is not uploaded if it `blocks`."""

    name: str
    hints: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    blocks: bool = True
    visible: int = 4


def _kind(name: str, hints: str, pattern: str, *, blocks: bool = True, visible: int = 4) -> SecretKind:
    return SecretKind(name, tuple(hint.encode() for hint in hints.split(" ")), re.compile(pattern.encode()), blocks, visible)


KINDS: Final = (
    _kind("private_key", "PRIVATE", r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----", visible=0),
    _kind("aws_access_key", "AKIA ASIA", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    _kind(
        "github_token",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{40,255})\b",
    ),
    _kind("gitlab_token", "glpat-", r"\bglpat-[A-Za-z0-9_\-]{20,}"),
    _kind("slack_token", "xox xapp-", r"\b(?:xox[abeoprs]-[A-Za-z0-9\-]{10,}|xapp-\d-[A-Za-z0-9\-]{10,})"),
    _kind("together_key", "tgp_v1_", r"\btgp_v1_[A-Za-z0-9_\-]{20,}"),
    _kind("anthropic_key", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_\-]{20,}"),
    _kind("openai_key", "sk-", r"\bsk-(?!ant-)(?:(?:proj|svcacct|admin)-[A-Za-z0-9_\-]{20,}|[A-Za-z0-9]{32,})"),
    _kind("huggingface_token", "hf_", r"\bhf_[A-Za-z]{30,}\b"),
    _kind("google_key", "AIza", r"\bAIza[A-Za-z0-9_\-]{35}"),
    _kind("langsmith_key", "lsv2_", r"\blsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}\b"),
    _kind("groq_key", "gsk_", r"\bgsk_[A-Za-z0-9]{40,}\b"),
    _kind("stripe_key", "k_live_", r"\b[rs]k_live_[A-Za-z0-9]{20,}\b"),
    _kind("jwt", "eyJ", r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{16,}"),
    _kind("email", "@", r"[A-Za-z0-9._%+\-]{1,64}@(?:[A-Za-z0-9\-]{1,63}\.){1,8}[A-Za-z]{2,24}\b", blocks=False, visible=1),
    _kind("card_number", "3 4 5 6", r"(?<![\w.\-])[3-6]\d{3}(?:[ \-]?\d{4}){2}[ \-]?\d{1,7}(?![\w\-]|\.\d)", blocks=False),
)
BLOCKING: Final = frozenset(kind.name for kind in KINDS if kind.blocks)
"""Keys and tokens, which keep a file from being uploaded; other kinds are only reported."""

_CARD_START: Final = re.compile(rb"[3-6]\d{3}[ \-]?\d{4}[ \-]?\d{4}")
_IMAGE: Final = re.compile(rb"data:image/[a-z]+;base64,[A-Za-z0-9+/=]{200,}")


def find_secrets(lines: list[bytes]) -> Iterator[tuple[int, str, str]]:
    """Yields the secrets in lines: index of the line, kind, excerpt. All lines are searched at once first, as most have none."""
    data = b"\n".join(lines)
    kinds = [kind for kind in KINDS if _may_have(kind, data)]
    if not kinds:
        return
    for index, line in enumerate(lines):
        for kind in kinds:
            if any(hint in line for hint in kind.hints):
                yield from ((index, kind.name, excerpt) for excerpt in _excerpts(kind, line))


def _may_have(kind: SecretKind, data: bytes) -> bool:
    if kind.name == "card_number":
        return _CARD_START.search(data) is not None
    return any(hint in data for hint in kind.hints)


def _excerpts(kind: SecretKind, line: bytes) -> Iterator[str]:
    if b";base64," in line:
        line = _IMAGE.sub(b"", line)
    for count, match in enumerate(kind.pattern.finditer(line)):
        if count >= _MAX_MATCHES_PER_LINE:
            return
        value = match.group()
        if kind.name == "card_number" and not _is_card_number(value):
            continue
        yield value[: kind.visible].decode("ascii", "replace") + "[redacted]"


def _is_card_number(value: bytes) -> bool:
    """Whether the last digit is the check digit of the others, by Luhn's algorithm."""
    digits = [byte - 48 for byte in value if 48 <= byte <= 57]
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 2:
        return False
    return sum(digit if index % 2 == 0 else digit * 2 - 9 * (digit > 4) for index, digit in enumerate(reversed(digits))) % 10 == 0
