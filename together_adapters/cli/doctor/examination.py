"""The probes on the service and on an emulator, and where the two differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from together_adapters.cli.doctor.calls import CALLS, NothingToSee, Probe, Subject
from together_adapters.cli.doctor.exchanges import Facts, Service
from together_adapters.cli.doctor.questions import QUESTIONS
from together_adapters.client import Together
from together_adapters.errors import APIConnectionError, AuthenticationError


@dataclass(frozen=True, slots=True)
class Observation:
    """What one probe has shown."""

    name: str
    question: str
    status: Literal["seen", "nothing", "skipped", "failed"]
    facts: Facts
    reason: str = ""  # why nothing was seen

    def in_words(self) -> str:
        """Returns the facts in one line."""
        facts = [f"{name} {_in_words(value)}" for name, value in self.facts.items() if name != "message" and value is not None]
        message = self.facts.get("message")
        return self.reason or ", ".join(facts) + (f": {message}" if message else "")


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact that an emulator shows otherwise."""

    name: str
    fact: str
    service: Any
    emulator: Any

    def in_words(self) -> str:
        """Returns it in one line."""
        return f"{self.fact} is {_in_words(self.service)}, in a strict emulator {_in_words(self.emulator)}"


def _in_words(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, dict):
        return " and ".join(f"{name} {_in_words(item)}" for name, item in value.items()) or "none"
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


def observe(service: Service, subject: Subject, probes: Iterable[Probe], options: Collection[str]) -> list[Observation]:
    """Runs probes. One that fails is an observation too; only a service that cannot be reached, or refuses the key, is an error."""
    return [_observe(service, subject, probe, options) for probe in probes]


def _observe(service: Service, subject: Subject, probe: Probe, options: Collection[str]) -> Observation:
    if probe.option and probe.option not in options:
        return Observation(probe.name, probe.question, "skipped", {}, f"not asked, because it costs more: --with {probe.option}")
    try:
        return Observation(probe.name, probe.question, "seen", probe.run(service, subject))
    except NothingToSee as reason:
        return Observation(probe.name, probe.question, "nothing", {}, str(reason))
    except (APIConnectionError, AuthenticationError):
        raise
    except Exception as error:  # an answer in a form that nobody knows is what a doctor is for
        text = f"the answer could not be read ({type(error).__name__}: {error})"
        return Observation(probe.name, probe.question, "failed", {}, text[:300])


def differences(service: Sequence[Observation], emulator: Sequence[Observation]) -> list[Difference]:
    """Returns the facts of the service that an emulator shows otherwise; what one of them did not show is none."""
    names = {probe.name for probe in chain(CALLS, QUESTIONS) if probe.is_compared}
    others = {observation.name: observation for observation in emulator}
    return [
        Difference(each.name, fact, each.facts.get(fact), others[each.name].facts.get(fact))
        for each in service
        if each.name in names and each.name in others and {each.status, others[each.name].status} == {"seen"}
        for fact in dict.fromkeys([*each.facts, *others[each.name].facts])
        if fact != "message" and each.facts.get(fact) != others[each.name].facts.get(fact)
    ]


@contextmanager
def comparison(as_recorded: str | None) -> Iterator[Service]:
    """Yields an emulator that answers as the service of today, or as it was recorded."""
    from together_adapters.emulator import Behaviour, serve

    options: dict[str, Any] = {"as_recorded": as_recorded} if as_recorded else {"behaviour": Behaviour(strict=True)}
    with serve(**options) as emulator, Together(base_url=emulator.base_url, api_key="doctor", max_retries=0) as client:
        yield Service(client)
