"""What importing costs: CPU of fresh interpreters that take turns, above that of an interpreter which imports nothing."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.benchmarks.measure import Goal, Row

ROUNDS: Final = 5


@dataclass(frozen=True)
class Import:
    """A statement against one that has to be executed anyway."""

    name: str
    ours: str
    baseline: str
    goal: Goal | None
    peers: tuple[tuple[str, str], ...] = ()


_CHAT_MODEL: Final = "from langchain_core.language_models.chat_models import BaseChatModel"
_LLM: Final = "from llama_index.core.llms import LLM"

IMPORTS: Final = (
    Import("import together_adapters, vs httpx", "import together_adapters", "import httpx", Goal(0.2)),
    Import(
        "import client ready, vs httpx + pydantic",
        "from together_adapters import Together; Together(api_key='sk').chat.completions",
        "import httpx, pydantic; pydantic.BaseModel",
        None,
        (
            ("openai", "from openai import OpenAI; OpenAI(api_key='sk').chat.completions"),
            ("together", "from together import Together; Together(api_key='sk').chat.completions"),
        ),
    ),
    Import(
        "import LangChain ChatTogether, vs BaseChatModel",
        "from langchain_together_adapters import ChatTogether",
        _CHAT_MODEL,
        Goal(1.1),
        (("langchain-together", "from langchain_together import ChatTogether"),),
    ),
    Import(
        "import LlamaIndex TogetherLLM, vs LLM",
        "from llama_index_together_adapters import TogetherLLM",
        _LLM,
        Goal(1.05),
        (("llama-index-llms-together", "from llama_index.llms.together import TogetherLLM"),),
    ),
)


def measure_import(target: Import, rounds: int) -> list[Row]:
    """Return the rows of one comparison."""
    statements = {"": target.ours, **dict(target.peers)}
    usable: dict[str, str] = {}
    for name, statement in [("baseline", target.baseline), *statements.items()]:
        problem = import_problem(statement)
        if problem is None:
            usable[name] = statement
        elif name in ("baseline", ""):
            return [Row(target.name, note=problem)]
    costs: dict[str, list[float]] = {name: [] for name in usable}
    for number in range(rounds):
        bare = cpu("pass")
        for name in usable if number % 2 == 0 else reversed(usable):
            costs[name].append(cpu(usable[name]) - bare)
    base = costs.pop("baseline")
    return [
        Row(
            name or target.name,
            "ms",
            median(times) * 1000,
            median(base) * 1000,
            tuple(own_time / base_time for own_time, base_time in zip(times, base, strict=True)),
            None if name else target.goal,
            peer=bool(name),
        )
        for name, times in costs.items()
    ]


def _command(statement: str) -> list[str]:
    return [sys.executable, "-I", "-c", statement]


def import_problem(statement: str) -> str | None:
    """Return why a statement cannot be executed, in a line; also leaves its modules compiled and in the disk cache."""
    done = subprocess.run(_command(statement), capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it fails"])[-1]


def cpu(statement: str) -> float:
    """Return the seconds of CPU that an interpreter takes for a statement."""
    process = subprocess.Popen(_command(statement), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    usage = wait_for(process)
    return usage.ru_utime + usage.ru_stime


def wait_for(process: subprocess.Popen[bytes]) -> resource.struct_rusage:
    """Wait for the end of a process; return what it has used."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage
