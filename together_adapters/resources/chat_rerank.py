"""Ranks texts by a chat model: listwise in windows, or pointwise by one request for each text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import accumulate
from math import ceil
from typing import Any, Final, TypeVar

from together_adapters.errors import InvalidRequestError, TogetherError
from together_adapters.resources import rerank_prompts as prompts
from together_adapters.resources.chat import complete
from together_adapters.transport.call import Call, Flow, Parallel, Response
from together_adapters.transport.config import warn_user
from together_adapters.types.capabilities import Capabilities, capabilities, is_known
from together_adapters.types.chat import ChatCompletion
from together_adapters.types.response import Usage

T = TypeVar("T")

WINDOW: Final = 20  # passages that a model orders in one request
_MIN_WINDOW: Final = 4  # passages that fit a request, whatever their length
_MIN_CONTEXT_OF_PASSAGE: Final = 100  # tokens of the context for each passage of a window
_SAFETY: Final = 0.8  # the share of the context that estimates may fill
_TOKENS_PER_ID: Final = 8
_VERDICT_TOKENS: Final = 4
_REASONING_TOKENS: Final = 8192
_UNKNOWN_REASONING_TOKENS: Final = 2048  # for a model that is not in the table
_REASONING_OFF: Final[dict[str, dict[str, Any]]] = {
    "enabled": {"reasoning": {"enabled": False}},
    "effort": {"reasoning_effort": "low"},
}
_LOGPROBS: Final = {"logprobs": True, "top_logprobs": 5}


@dataclass
class ChatReranker:
    """Scores texts against a query, in a flow for each method.

    Attributes:
        texts: The texts to rank. Of equal texts one is sent; blank ones are not sent and are the last.
        options: Options of each request.
        usages: The tokens of each request so far.
        response_id: The id of the last response.
        takes_logprobs: Whether the model has not refused the parameter.
    """

    model: str
    query: str
    texts: Sequence[str]
    options: Mapping[str, Any]
    usages: list[Usage | None] = field(default_factory=list)
    response_id: str | None = None
    takes_logprobs: bool = True

    @cached_property
    def indexes(self) -> list[list[int]]:
        """The indexes of each distinct text that is not blank."""
        by_text: dict[str, list[int]] = {}
        for index, text in enumerate(self.texts):
            if text.strip():
                by_text.setdefault(text, []).append(index)
        return list(by_text.values())

    @cached_property
    def facts(self) -> Capabilities:
        return capabilities(self.model)

    @cached_property
    def data_query(self) -> str:
        return prompts.as_data(self.query)

    def _scores(self, scores: Sequence[float]) -> list[float]:
        """Returns the scores of all texts from those of the distinct ones."""
        result = [0.0] * len(self.texts)
        for indexes, score in zip(self.indexes, scores, strict=True):
            for index in indexes:
                result[index] = score
        return result

    def listwise(self, top_n: int | None, window: int) -> Flow[list[float]]:
        """Orders the texts; the score is the rank, from 1.0 for the first down to 1 / count for the last.

        A window slides from the end to the beginning, and takes the upper half of its order along. So a pass brings the best to the
        front: half a window of texts is then in its final order, and further passes follow for as many as `top_n`.
        """
        count = len(self.indexes)
        order, final = list(range(count)), 0
        if count < 2:
            return self._scores([1.0] * count)
        window = max(2, min(window, count, self.facts.context_length // _MIN_CONTEXT_OF_PASSAGE))
        budget = self._budget(_order_tokens(window))
        passages = self._passages(budget // min(_MIN_WINDOW, window))
        window = _fitting(passages, budget, window)
        while final < min(top_n or 1, count - 1):
            yield from self._pass(order, final, passages, window)
            final += window // 2 if count - final > window else window
        ranks = {position: rank for rank, position in enumerate(order)}
        return self._scores([1.0 - ranks[position] / count for position in range(count)])

    def _pass(self, order: list[int], begin: int, passages: Sequence[str], window: int) -> Flow[None]:
        """Slides a window from the end of an order up to `begin`."""
        start, end = len(order), len(order)
        while start > begin:
            start = max(begin, end - window)
            order[start:end] = yield from self._order(order[start:end], passages)
            end = start + window // 2

    def _order(self, positions: Sequence[int], passages: Sequence[str]) -> Flow[list[int]]:
        """Orders the passages of one window."""
        count = len(positions)
        request = prompts.listwise_request(
            self.data_query, [passages[position] for position in positions], json_schema=self.facts.json_schema
        )
        call = self._call(partial(prompts.parse_order, count=count), _order_tokens(count), **request)
        number = len(self.usages) + 1
        with _location(f"listwise request {number}, documents {self._names(positions)}"):
            ranking: list[int] = yield call
        return [positions[index] for index in ranking]

    def listwise_tokens(self, top_n: int | None, window: int) -> tuple[int, int]:
        """Estimates input and output of `listwise`: each pass reads a text in two windows."""
        count = len(self.indexes)
        window = max(2, min(window, count))
        passes = ceil(min(top_n or 1, count) / (window // 2))
        requests = passes * ceil(count / (window // 2))
        texts = sum(prompts.passage_tokens(self.texts[indexes[0]]) for indexes in self.indexes)
        return (
            2 * passes * texts + requests * prompts.prompt_tokens(self.query),
            requests * token_limit(self.model, _order_tokens(window)),
        )

    def pointwise_tokens(self) -> tuple[int, int]:
        """Estimates input and output of `pointwise`."""
        count = len(self.indexes)
        texts = sum(prompts.passage_tokens(self.texts[indexes[0]]) for indexes in self.indexes)
        return texts + count * prompts.prompt_tokens(self.query), count * token_limit(self.model, _VERDICT_TOKENS)

    def pointwise(self, max_concurrency: int) -> Flow[list[float]]:
        """Asks of each text whether it is relevant; the score is the probability of yes, as the model gives it."""
        passages = self._passages(self._budget(_VERDICT_TOKENS))
        steps = [self._judge(position, passage) for position, passage in enumerate(passages)]
        verdicts: list[prompts.Verdict] = yield Parallel(steps, max_concurrency)
        if missing := [position for position, verdict in enumerate(verdicts) if not verdict.is_graded]:
            warn_user(
                f"{self.model} gave no log-probabilities for documents {self._names(missing)}: "
                'their score is 1 for yes and 0 for no; method="listwise" orders them'
            )
        return self._scores([verdict.score for verdict in verdicts])

    def _judge(self, position: int, passage: str) -> Flow[prompts.Verdict]:
        """Scores one passage. A model that takes no `logprobs` is asked again without them."""
        request = prompts.pointwise_request(self.data_query, passage)
        logprobs = _LOGPROBS if self.takes_logprobs else {}
        with _location(f"pointwise request, document {self._names([position])}"):
            try:
                verdict: prompts.Verdict = yield self._verdict_call(request, logprobs)
            except InvalidRequestError as error:
                if not logprobs or "logprobs" not in f"{error.param} {error.message}":
                    raise
                self.takes_logprobs = False
                verdict = yield self._verdict_call(request, {})
        return verdict

    def _verdict_call(self, request: Mapping[str, Any], logprobs: Mapping[str, Any]) -> Call[prompts.Verdict]:
        return self._call(prompts.parse_verdict, _VERDICT_TOKENS, with_logprobs=True, **request, **logprobs)

    def _call(self, parse: Callable[..., T], answer_tokens: int, with_logprobs: bool = False, **request: Any) -> Call[T]:
        """Describes one request whose answer `parse` reads."""
        call: Call[Any] = complete(model=self.model, **short_answer(self.model, answer_tokens), **request, **self.options)
        return replace(call, parse=partial(self._read, parse_completion=call.parse, parse=parse, with_logprobs=with_logprobs))

    def _read(
        self,
        response: Response,
        parse_completion: Callable[[Response], ChatCompletion],
        parse: Callable[..., T],
        with_logprobs: bool,
    ) -> T:
        completion = parse_completion(response)
        self.usages.append(completion.usage)
        self.response_id = completion.id
        choice = completion.choices[0]
        text = (choice.message.content if choice.message else choice.text) or ""
        logprobs = choice.model_dump(include={"logprobs"}, warnings=False)
        try:
            return parse(text, **logprobs) if with_logprobs else parse(text)
        except ValueError as error:
            refusal = choice.message and choice.message.refusal
            reason = f"the model refused: {prompts.quote(refusal)}" if refusal else str(error)
            raise ValueError(f"{reason} (finish reason {choice.finish_reason})") from None

    def _budget(self, answer_tokens: int) -> int:
        """Returns the estimated tokens that all passages of a request may have."""
        budget = (
            int(self.facts.context_length * _SAFETY)
            - token_limit(self.model, answer_tokens)
            - prompts.prompt_tokens(self.data_query)
        )
        if budget < 64 * _MIN_WINDOW:
            raise ValueError(
                f"query: with it no passages fit the {self.facts.context_length} tokens of the context of {self.model}"
            )
        return budget

    def _passages(self, max_tokens: int) -> list[str]:
        """Returns the distinct texts as passages of limited length; a warning names those that are cut."""
        texts = [prompts.as_data(self.texts[indexes[0]]) for indexes in self.indexes]
        passages = [prompts.shorten(text, max_tokens) for text in texts]
        if cut := [position for position, text in enumerate(texts) if text is not passages[position]]:
            warn_user(
                f"documents {self._names(cut)}: only the first {max_tokens} tokens (an estimate) are ranked, because the context of "
                f"{self.model} is {self.facts.context_length}; split long documents"
            )
        return passages

    def _names(self, positions: Sequence[int]) -> str:
        """Returns the indexes of texts, as the caller numbers them."""
        indexes = sorted(self.indexes[position][0] for position in positions)
        names = ", ".join(map(str, indexes[:20]))
        return names if len(indexes) <= 20 else f"{names} and {len(indexes) - 20} more"


def short_answer(model: str, answer_tokens: int) -> dict[str, Any]:
    """Returns the parameters of a request for a short answer; reasoning is off, or short where it cannot be."""
    reasoning = _REASONING_OFF.get(capabilities(model).reasoning_switch or "", {})
    return {"temperature": 0, "max_tokens": token_limit(model, answer_tokens), **reasoning}


def token_limit(model: str, answer_tokens: int) -> int:
    """Returns the limit of a completion; models that may reason get room for it."""
    if not is_known(model):
        return answer_tokens + _UNKNOWN_REASONING_TOKENS
    facts = capabilities(model)
    limit = min(_REASONING_TOKENS, facts.context_length // 4, facts.max_output_tokens or _REASONING_TOKENS)
    return answer_tokens + (limit if facts.reasoning else 0)


def _order_tokens(count: int) -> int:
    """Returns the limit of an answer that orders passages."""
    return _TOKENS_PER_ID * count + 32


def _fitting(passages: Sequence[str], budget: int, window: int) -> int:
    """Returns of how many passages a window can be, so that any of them fit a request."""
    lengths = sorted(map(prompts.passage_tokens, passages), reverse=True)
    return next((count for count, total in enumerate(accumulate(lengths[:window])) if total > budget), window)


class _location:
    """A context that names the request in the message of an error."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, TogetherError):
            extend_message(error, self._name)


def extend_message(error: TogetherError, addition: str) -> None:
    """Adds to the message of an error."""
    error.message = f"{error.message} ({addition})"
    error.args = (error.message, *error.args[1:])
