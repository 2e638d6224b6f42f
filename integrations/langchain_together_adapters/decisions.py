"""`TogetherDecisions`: typed questions about a state, answered with probabilities by a chat model of Together AI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce
from typing import Any, ClassVar, NamedTuple
from unicodedata import normalize

from pydantic import ConfigDict, Field

try:
    from langchain_core.decisions import (
        Answer,
        BaseDecisionModel,
        ChoiceAnswer,
        ClassifierRequest,
        ClassifierResponse,
        Noul,
        NoulAnswer,
        Question,
        Score,
        ScoreAnswer,
        State,
    )
except ModuleNotFoundError as error:
    raise ImportError("TogetherDecisions needs langchain-core 1.8 or newer: pip install --upgrade langchain-core") from error

from langchain_together_adapters.calibration import Calibration, fit
from langchain_together_adapters.connection import Connection
from langchain_together_adapters.decision_prompts import Options, Shares, messages_of, options_of, read_answer
from langchain_together_adapters.errors import RefusedError, model_errors
from langchain_together_adapters.responses import PROVIDER, usage_metadata
from together_adapters.adapters.response_fields import add_counts
from together_adapters.errors import InvalidRequestError
from together_adapters.resources.chat import complete
from together_adapters.resources.chat_rerank import short_answer
from together_adapters.transport.call import Call, Flow, Parallel, Response
from together_adapters.transport.config import warn_user
from together_adapters.types.capabilities import DEFAULT_SMALL_MODEL

_ANSWER_TOKENS = 4
_ALTERNATIVES, _MAX_ALTERNATIVES = 5, 20
"""Alternatives to a token: as many as all models give that give any, and as many as the service gives at most."""

Label = bool | str | int
LabelPair = tuple[ClassifierRequest, Mapping[str, Label]]


class TogetherDecisions(Connection, BaseDecisionModel):
    """Answer questions about text, messages or data with probabilities.

    Each question is a request of its own: the model replies with one word, and the log-probabilities of the possible words are the
    answer. They are the model's own; `calibrate` fits them to labelled examples. The confidence of an answer is the probability of
    the most likely label or level. `Noul`, `Choice` (up to 26 labels) and `Score` (up to 26 levels) can be asked, `Box` cannot.
    Needs langchain-core 1.8.

    Besides the attributes below it has those of `Connection` (api_key, timeout, ...).

    Attributes:
        model: The name of a chat model that gives log-probabilities. Where it gives none, the answer is certain, and a warning says so.
        calibration: What `calibrate` has fitted.
        max_concurrency: Maximum number of questions that are asked at once.

    Raises:
        ConfigurationError: There is neither a key nor a client.

    Example:
        ```python
        from langchain_core.decisions import Choice, Noul
        from langchain_together_adapters import TogetherDecisions

        decisions = TogetherDecisions()
        response = decisions.invoke({
            "state": "Stripe has failed to connect for three days. Help!",
            "questions": {
                "urgent": Noul(instructions="Is this urgent?"),
                "team": Choice(instructions="Who handles this?", criteria={"billing": None, "technical": "bugs"}),
            },
        })
        response.nouls["urgent"].noul, response.choices["team"].choice
        ```
    """

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=(), arbitrary_types_allowed=True, extra="forbid")

    model: str = Field(default=DEFAULT_SMALL_MODEL, validation_alias="model_name")
    calibration: Calibration = Calibration()
    max_concurrency: int = Field(default=8, ge=1)

    _takes_gateway: ClassVar[bool] = True

    @property
    def _provider(self) -> str:
        return PROVIDER

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    def _classify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        with model_errors():
            response: ClassifierResponse = self._clients.sync.perform(self._respond(state, questions))
            return response

    async def _aclassify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        with model_errors():
            response: ClassifierResponse = await self._clients.asynchronous.perform(self._respond(state, questions))
            return response

    def calibrate(self, labelled: Iterable[LabelPair]) -> TogetherDecisions:
        """Fit the probabilities to examples whose answers are known, and return this model, which keeps the fit.

        Args:
            labelled: Pairs of a request and its right answers by the names of the questions: whether it is so for a `Noul`, the
                label for a `Choice`, the level for a `Score`. Questions without a right answer are left out. Each question is
                asked once. A few dozen examples of each kind of question are enough; measure on others.

        Raises:
            ValueError: There are no examples, or an answer is none of its question's.
        """
        with model_errors():
            self.calibration = self._clients.sync.perform(self._fit(labelled))
        return self

    async def acalibrate(self, labelled: Iterable[LabelPair]) -> TogetherDecisions:
        """Fit the probabilities; see `calibrate`."""
        with model_errors():
            self.calibration = await self._clients.asynchronous.perform(self._fit(labelled))
        return self

    def _fit(self, labelled: Iterable[LabelPair]) -> Flow[Calibration]:
        steps, labels = [], []
        for number, pair in enumerate(labelled):
            request, answers = _checked(number, pair)
            for name, answer in answers.items():
                question = request["questions"][name]
                options = options_of(name, question)
                labels.append((question.type, _label(name, answer, options)))
                steps.append(self._reply(request["state"], question, options))
        if not steps:
            raise ValueError("labelled has no examples: pass pairs of a request and its right answers")
        replies: list[_Reply] = yield Parallel(steps, self.max_concurrency)
        self._warn_of([reply.shares for reply in replies])
        examples: dict[str, list[Any]] = {}
        for (kind, label), reply in zip(labels, replies, strict=True):
            examples.setdefault(kind, []).append((reply.shares.probabilities, label))
        return fit(examples)

    def _respond(self, state: State, questions: dict[str, Question]) -> Flow[ClassifierResponse]:
        if not questions:
            raise ValueError("questions must not be empty")
        options = {name: options_of(name, question) for name, question in questions.items()}
        steps = [self._reply(state, question, options[name]) for name, question in questions.items()]
        replies: list[_Reply] = yield Parallel(steps, self.max_concurrency)
        self._warn_of([reply.shares for reply in replies])
        answers = {
            name: self._answer(question, reply.shares.probabilities)
            for (name, question), reply in zip(questions.items(), replies, strict=True)
        }
        return ClassifierResponse(
            model=replies[0].model or self.model,
            answers=answers,
            usage=usage_metadata(reduce(add_counts, [reply.usage for reply in replies])),
            request_id=replies[0].request_id,
        )

    def _reply(self, state: State, question: Question, options: Options) -> Flow[_Reply]:
        """Ask one question. A model that takes no `logprobs`, or not so many, is asked again with fewer."""
        params = {
            "model": self.model,
            "messages": messages_of(state, question, options),
            **short_answer(self.model, _ANSWER_TOKENS),
        }
        counts = (_ALTERNATIVES,) if len(options.labels) <= _ALTERNATIVES else (_MAX_ALTERNATIVES, _ALTERNATIVES)
        for count in counts:
            try:
                reply: _Reply = yield _reading(complete(**params, logprobs=True, top_logprobs=count), options)
                return reply
            except InvalidRequestError as error:
                if "logprobs" not in f"{error.param} {error.message}":
                    raise
        reply = yield _reading(complete(**params), options)
        return reply

    def _answer(self, question: Question, shares: Mapping[Any, float]) -> Answer:
        probabilities = self.calibration.apply(question.type, shares)
        confidence = min(1.0, max(probabilities.values()))
        if isinstance(question, Noul):
            return NoulAnswer(type="noul", noul=min(1.0, probabilities[True]))
        if isinstance(question, Score):
            score = sum(level * share for level, share in probabilities.items())
            legend = dict(enumerate(question.criteria))
            return ScoreAnswer(type="score", score=score, legend=legend, probabilities=probabilities, confidence=confidence)
        choice = max(probabilities, key=probabilities.__getitem__)
        return ChoiceAnswer(type="choice", choice=choice, probabilities=probabilities, confidence=confidence)

    def _warn_of(self, shares: Iterable[Shares]) -> None:
        if not all(each.is_graded for each in shares):
            warn_user(f"{self.model} gave no log-probabilities: its answers are given as certain, which calibrate cannot change")


class _Reply(NamedTuple):
    """What one response says."""

    shares: Shares
    usage: Mapping[str, Any]
    model: str | None
    request_id: str | None


def _reading(call: Call[Any], options: Options) -> Call[_Reply]:
    """Return a call whose result is the answer among options."""
    parse = call.untyped().parse

    def read(response: Response) -> _Reply:
        completion = parse(response)
        choice = completion["choices"][0]
        message = choice.get("message") or {}
        if refusal := message.get("refusal"):
            raise RefusedError(refusal)
        shares = read_answer(message.get("content") or choice.get("text") or "", choice.get("logprobs"), options)
        return _Reply(shares, completion.get("usage") or {}, completion.get("model"), response.request_id)

    return replace(call, parse=read)


def _checked(number: int, pair: Any) -> LabelPair:
    """Return a pair of a request and its right answers, which are those of its questions."""
    try:
        request, answers = pair
        unknown = answers.keys() - request["questions"].keys()
        _ = request["state"]
    except (TypeError, ValueError, AttributeError, KeyError):
        problem = f"example {number} is no pair of a request with state and questions, and its right answers: {pair!r:.200}"
        raise ValueError(problem) from None
    if unknown:
        names = ", ".join(map(repr, sorted(unknown)))
        raise ValueError(f"example {number} has an answer to {names}, but no such question: {list(request['questions'])}")
    return request, answers


def _label(name: str, value: Any, options: Options) -> Any:
    """Return the label of a right answer."""
    plain = _plain(value)
    for label in options.labels.values():
        if _plain(label) == plain and isinstance(label, bool) == isinstance(plain, bool):
            return label
    raise ValueError(f"the answer to question {name!r} is {value!r}, which is none of {list(options.labels.values())}")


def _plain(value: Any) -> Any:
    """Return a scalar of numpy as one of Python, and a text in the one of its forms that is composed."""
    value = value.item() if hasattr(value, "item") else value
    return normalize("NFC", value) if isinstance(value, str) else value
