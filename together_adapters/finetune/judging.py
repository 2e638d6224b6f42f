"""A tuned model before a judge: two models answer the questions of a validation file, and an evaluation compares their answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import signature
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, overload

from together_adapters.bulk.costs import Account
from together_adapters.bulk.runs import run_flow
from together_adapters.control.prices import Tokens
from together_adapters.errors import BudgetExceededError, DatasetError, JobFailedError
from together_adapters.finetune.arguments import path_of
from together_adapters.finetune.issues import count_of
from together_adapters.resources import evaluation, files
from together_adapters.resources.batches import CHAT
from together_adapters.resources.rerank_prompts import estimated_tokens
from together_adapters.suggestions import suggestion
from together_adapters.transport.call import Flow, Local, Settings
from together_adapters.types.capabilities import DEFAULT_CHAT_MODEL
from together_adapters.types.progress import Progress

if TYPE_CHECKING:
    from together_adapters.bulk.results import BulkItem, BulkProgress
    from together_adapters.client import AsyncTogether, Together
    from together_adapters.finetune.writing.write_jsonl import PreparedFile
    from together_adapters.types.evaluation import EvaluationJob
    from together_adapters.types.files import FileResponse

_log = logging.getLogger(__name__)
INSTRUCTIONS: Final = (
    "Two assistants have answered the same conversation:\n\n{{prompt}}\n\nThe reference answer is:\n\n{{reference}}\n\n"
    "Which answer is closer to the reference, in what it says and how?"
)
_KEYS: Final = ("role", "content", "tool_calls", "tool_call_id", "name")
_JUDGEMENT: Final = 200  # tokens that a judge may write of one pair, so an assumption
_Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """Which of two models a judge prefers.

    Attributes:
        model_a: The first model.
        model_b: The second model.
        a_wins: Rows in which the answer of the first was better.
        b_wins: Rows in which that of the second was.
        ties: Rows in which neither was.
        without_text: Rows that were not compared, since their last message has no text, as a tool call.
        errors: Why rows were not compared whose request failed.
        evaluation_id: The evaluation.
        result_file_id: The file of all judgements, for `client.files.content`.
    """

    model_a: str
    model_b: str
    a_wins: int
    b_wins: int
    ties: int
    without_text: int
    errors: list[str]
    evaluation_id: str
    result_file_id: str | None

    @property
    def winner(self) -> str | None:
        """The model that won more rows; None if neither did."""
        return None if self.a_wins == self.b_wins else self.model_a if self.a_wins > self.b_wins else self.model_b

    def __str__(self) -> str:
        result = "neither wins" if self.winner is None else f"{self.winner} wins"
        counts = f"{self.a_wins} for {self.model_a}, {self.b_wins} for {self.model_b}, {count_of(self.ties, 'tie')}"
        left_out = [f"{self.without_text} without an answer of text"] * bool(self.without_text) + [
            f"{len(self.errors)} failed"
        ] * bool(self.errors)
        return f"{result}: {', '.join([counts, *left_out])}"


@overload
def judge(
    client: Together, data: PreparedFile | str | PathLike[str], *, model_a: str, model_b: str, **options: Any
) -> Comparison: ...
@overload
def judge(
    client: AsyncTogether, data: PreparedFile | str | PathLike[str], *, model_a: str, model_b: str, **options: Any
) -> Coroutine[Any, Any, Comparison]: ...
def judge(client: Together | AsyncTogether, data: Any, *, model_a: str, model_b: str, **options: Any) -> Any:
    """Lets two models answer the questions of a file, and a judge compare their answers. This costs money.

    Each row's messages before its last answer are sent to both models, one by one, and the answers are uploaded for an evaluation
    of the type `compare`, with that last answer as reference. The uploaded file is deleted when the evaluation has ended.

    Args:
        client: A `Together`; or an `AsyncTogether`, whose result is to be awaited.
        data: Rows that were not trained on, such as those of the validation file: of messages, or of `prompt` and `completion`.
        model_a: A model, such as `job.model`.
        model_b: Another model, such as its base, `job.details.model`.
        judge: The model that judges.
        instructions: What the judge is told, a Jinja2 template with `{{prompt}}` and `{{reference}}`.
        max_tokens: Maximum number of tokens of an answer.
        temperature: Sampling temperature of the answers.
        max_concurrency: Simultaneous requests.
        max_price: Dollars that answers and judgements may cost by an estimate, which assumes answers of `max_tokens`, and of a tuned
            model whose price nobody says the price of its base model. An unknown price exceeds it; the prices of the client's
            `Control` are used first.
        on_price: Called with that estimate, None if a price is unknown, before anything is paid. An exception stops the comparison.
            The log names the models without a price.
        poll_interval: The most seconds between two looks at the evaluation.
        timeout: Seconds until waiting for it ends; None waits without limit.
        progress: Called with a `Progress`.

    Returns:
        Who won, with counts; `print` shows both.

    Raises:
        DatasetError: A row is neither; or none has an answer of text. Nothing was sent.
        BudgetExceededError: The estimate is higher than `max_price`, or unknown. Nothing was paid.
        APIError: A model does not exist, or all requests failed.
        JobFailedError: The evaluation failed.
        APITimeoutError: The timeout has passed. The evaluation goes on, and the file stays: the notes of the exception name both.
    """
    if unknown := options.keys() - (names := signature(_compare).parameters.keys()):
        hints = ", ".join(f"{name!r}{suggestion(name, names)}" for name in sorted(unknown))
        raise TypeError(f"judge() got an unexpected keyword argument {hints}")
    return client.perform(_compare(data, model_a=model_a, model_b=model_b, **options))


def _compare(
    data: PreparedFile | str | PathLike[str],
    *,
    model_a: str,
    model_b: str,
    judge: str = DEFAULT_CHAT_MODEL,
    instructions: str = INSTRUCTIONS,
    max_tokens: int = 512,
    temperature: float = 0.0,
    max_concurrency: int = 16,
    max_price: float | None = None,
    on_price: Callable[[float | None], object] | None = None,
    poll_interval: float = 5.0,
    timeout: float | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> Flow[Comparison]:
    if model_a == model_b:
        raise ValueError(f"model_a and model_b are the same model, {model_a!r}")
    rows: _Rows = yield Local(partial(_read_rows, path_of(getattr(data, "path", data))))
    questions = [row for row in rows if row["reference"]]
    if not questions:
        raise DatasetError(f"{data} has no row whose last message is an answer of text. Nothing was sent")
    settings = {"max_tokens": max_tokens, "temperature": temperature}
    bodies = [{"model": model, **settings, **row["body"]} for row in questions for model in (model_a, model_b)]
    if max_price is not None or on_price is not None:
        account = Account((yield Settings()), CHAT)
        usage = account.tokens((body["model"], body) for body in bodies)
        usage.setdefault(judge, Tokens()).add(_judgement_tokens(questions, instructions, max_tokens))
        yield from account.ask_catalogue(usage)
        _check_price(account, usage, max_price, on_price)

    def report(state: BulkProgress) -> None:
        if progress is not None:
            progress(Progress(state.done, state.total, "answers"))

    results = yield from run_flow(bodies, via="online", max_concurrency=max_concurrency, progress=report)
    lines, errors = yield Local(partial(_pairs, questions, results))
    if not lines:
        raise errors[0]
    id, job = yield from _evaluate(lines, judge, instructions, poll_interval=poll_interval, timeout=timeout, progress=progress)
    counts = job.results or {}
    return Comparison(
        model_a,
        model_b,
        a_wins=int(counts.get("A_wins") or 0),
        b_wins=int(counts.get("B_wins") or 0),
        ties=int(counts.get("Ties") or 0),
        without_text=len(rows) - len(questions),
        errors=[str(error) for error in errors],
        evaluation_id=id,
        result_file_id=counts.get("result_file_id"),
    )


def _read_rows(path: Path) -> _Rows:
    """Returns for each line the body of a request, its messages as text, and the answer that the line has."""
    rows = []
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    rows.append(_read_row(json.loads(line)))
                except (ValueError, TypeError, KeyError, IndexError, AttributeError):
                    raise DatasetError(
                        f"line {number} of {path} has neither `messages` that end with an answer nor `prompt` and `completion`. "
                        "Nothing was sent"
                    ) from None
    return rows


def _read_row(row: Mapping[str, Any]) -> dict[str, Any]:
    if "prompt" in row:
        messages = [{"role": "user", "content": row["prompt"]}]
        answer: Any = {"role": "assistant", "content": row["completion"]}
    else:
        *messages, answer = row["messages"]
    if answer["role"] != "assistant" or not messages:
        raise ValueError
    body = {"messages": [{key: message[key] for key in _KEYS if key in message} for message in messages]}
    if row.get("tools"):
        body["tools"] = row["tools"]
    return {"body": body, "prompt": "\n\n".join(_texts(messages)), "reference": _text(answer.get("content"))}


def _texts(messages: list[Any]) -> Iterator[str]:
    """Yields messages as a judge reads them; a single one as it is."""
    for message in messages:
        text = _text(message.get("content")) or json.dumps(message.get("tool_calls") or "")
        yield text if len(messages) == 1 else f"{message['role']}: {text}"


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def _pairs(questions: _Rows, results: Any) -> tuple[_Rows, list[Exception]]:
    """Returns the lines of the evaluation's file, and the errors of the rows that cannot be in it."""
    lines: _Rows = []
    errors: list[Exception] = []
    items: Iterator[BulkItem[Any]] = iter(results)
    for row, *pair in zip(questions, items, items, strict=True):
        if error := pair[0].error or pair[1].error:
            errors.append(error)
            continue
        responses: list[Any] = [item.response for item in pair]
        a, b = (response.choices[0].message.content or "" for response in responses)
        lines.append({"prompt": row["prompt"], "reference": row["reference"], "answer_a": a, "answer_b": b})
    results.close()
    return lines, errors


def _judgement_tokens(questions: _Rows, instructions: str, max_tokens: int) -> Tokens:
    """Estimates the tokens of the judge, which reads each pair in both orders and answers in a few sentences."""
    texts = sum(
        estimated_tokens(instructions) + estimated_tokens(row["prompt"]) + estimated_tokens(row["reference"]) for row in questions
    )
    count = 2 * len(questions)
    return Tokens(input=2 * texts + count * 2 * max_tokens, output=count * _JUDGEMENT)


def _check_price(
    account: Account, usage: Mapping[str, Tokens], max_price: float | None, on_price: Callable[[float | None], object] | None
) -> None:
    """Compares what tokens of models may cost with what the user allows, and asks the user's own function."""
    price, unpriced = account.dollars(usage), account.unpriced(usage)
    if max_price is not None and (price is None or price > max_price):
        reason = (
            f"{account.unknown_prices(unpriced)}, or set no limit"
            if price is None
            else f"the comparison may cost {price:.6g} dollars"
        )
        raise BudgetExceededError(
            f"{reason}; with max_price={max_price:g}, nothing was paid", budget=max_price, estimate=price or 0.0
        )
    account.log_estimates(usage)
    if unpriced:
        _log.warning("%s", account.unknown_prices(unpriced))
    if on_price is not None:
        on_price(price)


def _evaluate(lines: _Rows, judge: str, instructions: str, **wait: Any) -> Flow[tuple[str, EvaluationJob]]:
    """Runs an evaluation of a file that is deleted when it has ended, or could not be created."""
    file = yield from _upload(lines)
    id: str | None = None  # of the evaluation while it runs
    try:
        yield from files.wait(str(file.id))
        created = yield evaluation.create(
            type="compare",
            judge_model=judge,
            judge_model_source="serverless",
            judge_system_template=instructions,
            input_data_file_path=str(file.id),
            model_a="answer_a",
            model_b="answer_b",
        )
        id = str(created.workflow_id)
        job = yield from evaluation.wait(id, **wait)
    except GeneratorExit:  # nothing can be sent any more
        raise
    except BaseException as error:
        if id is None or isinstance(error, JobFailedError):
            yield from files.discard(file)
        else:
            error.add_note(
                f"The evaluation goes on, and is charged: client.evaluation.wait({id!r}) waits for its result, and "
                f"client.files.delete({file.id!r}) then deletes the file that was uploaded for it"
            )
        raise
    yield from files.discard(file)
    return id, job


def _upload(lines: _Rows) -> Flow[FileResponse]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "comparison.jsonl"
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        yield Local(partial(path.write_text, text, "utf-8"))
        return (yield from files.upload(path, purpose="eval", check=False))
