"""The vendor's SDKs and OpenAI's see a refusal by the emulator's limits as one of the service, and wait as its headers say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.foreign.driving import drive, python_with
from together_adapters.emulator import Limits, serve

SCRIPT = """
import os
from {package} import {client} as Client
{errors}
base = {{"openai": os.environ["BASE"]}}.get("{package}", os.environ["{root}"])
question = {{"model": "openai/gpt-oss-120b", "messages": [{{"role": "user", "content": "Say hello to Ann."}}]}}
def create(retries):
    return Client(api_key="k", base_url=base, max_retries=retries).chat.completions.create(**question)
create(0)
try:
    create(0)
    raise AssertionError("not refused")
except RateLimitError as error:
    status = getattr(error, "status_code", None) or error.http_status
    assert (status, "dynamic_request_limited" in f"{{error}} {{getattr(error, 'body', '')}}") == (429, True), error
    headers = getattr(error, "response", error).headers
    assert headers["retry-after"] == headers["x-ratelimit-reset"] and headers["x-ratelimit-remaining"] == "0", headers
assert create(5).choices[0].message.content == "Hello to Ann."
"""


@pytest.mark.parametrize(
    ("package", "major", "variable", "client", "errors", "root"),
    [
        ("together", "3", "TOGETHER_SDK_PYTHON_3", "Together", "from together import RateLimitError", "ROOT"),
        ("together", "1", "TOGETHER_SDK_PYTHON_1", "Together", "from together.error import RateLimitError", "BASE"),
        ("openai", "", "OPENAI_SDK_PYTHON", "OpenAI", "from openai import RateLimitError", "BASE"),
    ],
)
def test_a_refusal_and_the_wait_after_it(
    package: str, major: str, variable: str, client: str, errors: str, root: str, tmp_path: Path
) -> None:
    python = python_with(package, major, variable)
    script = SCRIPT.format(package=package, client=client, errors=errors, root=root)
    with serve(limits=Limits(requests_per_minute=60, window=1)) as emulator:
        drive(python, script, emulator, tmp_path)
        assert emulator.bill.total().requests == 2
