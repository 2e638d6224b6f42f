"""Secrets are recognized by their form, counted by kind, and never shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from together_adapters.finetune import check_jsonl
from together_adapters.finetune.validation.secret_scan import BLOCKING, KINDS, find_secrets

# Put together here, so that no scanner of repositories takes them for real ones.
SOME = {
    "private_key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIabc",
    "aws_access_key": "AKIA" + "IOSFODNN7EXAMPLE",
    "github_token": "ghp_" + "a1B2" * 9,
    "gitlab_token": "glpat-" + "a1B2" * 5,
    "slack_token": "xoxb-" + "12345678-abcdefgh",
    "together_key": "tgp_v1_" + "a1B2" * 8,
    "anthropic_key": "sk-ant-" + "api03-" + "a1B2" * 6,
    "openai_key": "sk-proj-" + "a1B2" * 8,
    "huggingface_token": "hf_" + "aBcD" * 9,
    "google_key": "AIza" + "a1B2-" * 7,
    "langsmith_key": "lsv2_pt_" + "0a1b" * 8 + "_" + "0a1b2c3d4e",
    "groq_key": "gsk_" + "a1B2" * 12,
    "stripe_key": "sk_live_" + "a1B2" * 6,
    "jwt": "eyJ" + "hbGciOiJI.eyJ" + "zdWIiOiIx." + "a1B2" * 8,
    "email": "jane.doe@mail.example.org",
    "card_number": "4111 1111 1111 1111",
}


def test_every_kind_has_a_case() -> None:
    assert SOME.keys() == {kind.name for kind in KINDS}
    assert frozenset(SOME) - BLOCKING == {"email", "card_number"}


@pytest.mark.parametrize("kind", SOME)
def test_secrets_are_counted_and_not_shown(kind: str, tmp_path: Path) -> None:
    value = SOME[kind]
    rows = [{"text": "nothing"}, {"text": f"see {value} there"}, {"text": f"again: {value}"}]
    (path := tmp_path / "x.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert check_jsonl(path).secrets == {}
    report = check_jsonl(path, secrets=True)
    assert (report.secrets, report.ok) == ({kind: 2}, True)
    assert [issue.line for issue in report.issues] == [2, 3]
    assert {issue.code for issue in report.issues} == {"secret" if kind in BLOCKING else "personal_data"}
    assert value not in report.model_dump_json()
    assert value[5:] not in report.model_dump_json()


@pytest.mark.parametrize("text", [
    "4111 1111 1111 1112", "0.4111111111111111", "call me @ noon", "sk-learn and risk-averse", "AKIA", "eyJ is how they begin",
    "1700000000000000000", "4444444444444444", "-----BEGIN PUBLIC KEY-----", "a" * 100_000 + "@", "3" * 100_000,
])  # fmt: skip
def test_no_secrets(text: str) -> None:
    assert list(find_secrets([text.encode()])) == []


def test_images_are_not_searched() -> None:
    assert list(find_secrets([("data:image/png;base64," + "sk" + "/AKIAIOSFODNN7EXAMPLE/" + "A" * 300).encode()])) == []
