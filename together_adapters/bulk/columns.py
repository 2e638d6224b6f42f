"""Adds a column of embeddings, answers or rankings to Arrow tables, and what failed in a column beside it.

Each object serves one worker, which calls it with one table after another: an actor of Ray, a partition of Spark or Dask. It has one
client. A pickle of it holds the client as clients are pickled: a key from the environment is not part of it, and is read again where
the worker runs.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from together_adapters._lazy import require
from together_adapters.atomic_files import new_files
from together_adapters.bulk.outcomes import FATAL_OF_MODEL
from together_adapters.errors import APIStatusError, ContextLengthError, ModelNotAvailableError, TogetherError
from together_adapters.resources import chat, embeddings, rerank
from together_adapters.resources.embedding_limits import LongTexts
from together_adapters.transport.call import Flow, Local, Parallel, Step
from together_adapters.vectors import float32_of

if TYPE_CHECKING:
    from together_adapters.client import Together

Row = dict[str, Any]
"""The new columns of one row."""
Inputs = Mapping[int, Any]
"""What is asked for each row, by its index."""


class NewColumn(ABC):
    """Adds columns to Arrow tables by requests to the service. Instances are callables for tables.

    Args:
        model: The model to ask.
        column: The column that is read.
        into: The new column.
        errors: The column of errors: null, or the error of the row as text; by default the name of the new column with `_error`.
        checkpoint: A folder in which every table that was finished is kept, so that the same table is not asked again: after an
            interruption, only rows that failed are.
        max_concurrency: Maximum number of simultaneous requests.
        client: A client; by default one with the settings of the environment.

    Raises:
        AuthenticationError: The key is not valid, so that no row can succeed.
        ModelNotAvailableError: Nor is the model.
        PaymentRequiredError: The account has no credit left; `BudgetExceededError`: nor has the budget of the client's control. What was
            answered before is in the checkpoint. All other errors are those of rows.
        ConfigurationError: There is neither a key nor a client.
        ValueError: A table has no such column, or has the new one already.
    """

    def __init__(
        self,
        *,
        model: str,
        column: str,
        into: str,
        errors: str | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        max_concurrency: int = 8,
        client: Together | None = None,
    ) -> None:
        _arrow()
        if max_concurrency < 1:
            raise ValueError(f"max_concurrency must be at least 1, not {max_concurrency!r}")
        self.model = model
        self.column = column
        self.into = into
        self.errors = errors or f"{into}_error"
        self.checkpoint = None if checkpoint is None else Path(checkpoint).absolute()
        self.max_concurrency = max_concurrency
        self.client = _client(client)

    def __call__(self, table: Any) -> Any:
        """Returns a table with the new columns, in the same order."""
        self._check(table)
        inputs = self._inputs(table)
        path = self._path(inputs)
        rows = self._read(path, len(inputs))
        pending = {index: value for index, value in enumerate(inputs) if rows[index] is None or rows[index].get(self.errors)}
        if pending:
            fatal: list[TogetherError] = []
            steps = [_unless(fatal, step) for step in self._steps(pending)]
            for part in self.client.perform(Parallel(steps, self.max_concurrency)):
                for index, row in part.items():
                    rows[index] = row
            if fatal:
                failures = self._failure(range(len(rows)), fatal[0])
                if any(rows):
                    self._write(path, [row or failures[index] for index, row in enumerate(rows)])
                raise fatal[0]
            self._write(path, rows)
        result = self._table(rows)
        for name in result.column_names:
            table = table.append_column(name, result.column(name))
        return table

    @abstractmethod
    def _types(self) -> dict[str, Any]:
        """Returns the new columns, without that of errors."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Returns what else decides about the result."""

    @abstractmethod
    def _steps(self, inputs: Inputs) -> Iterable[Step | Flow[dict[int, Row]]]:
        """Yields steps that ask for the rows of a table; the result of each is rows by index."""

    def _failure(self, indices: Iterable[int], error: Exception) -> dict[int, Row]:
        """Returns rows that have failed."""
        return {index: {self.errors: f"{type(error).__name__}: {error}"} for index in indices}

    def _columns(self) -> list[str]:
        return [self.column]

    def _inputs(self, table: Any) -> list[Any]:
        return table.column(self.column).to_pylist()  # type: ignore[no-any-return]

    def _check(self, table: Any) -> None:
        if missing := [name for name in self._columns() if name not in table.column_names]:
            raise ValueError(f"there is no column {missing[0]!r}, but {', '.join(map(repr, table.column_names))}")
        if existing := [name for name in self._schema().names if name in table.column_names]:
            raise ValueError(f"there is a column {existing[0]!r} already: name other columns by into= and errors=")

    def _schema(self) -> Any:
        return _arrow().schema({**self._types(), self.errors: _arrow().string()})

    def _table(self, rows: list[Any]) -> Any:
        return _arrow().Table.from_pylist(rows, schema=self._schema())

    def _path(self, inputs: list[Any]) -> Path | None:
        if self.checkpoint is None:
            return None
        settings = {"model": self.model, "columns": self._schema().names, **self._settings()}
        text = json.dumps([type(self).__name__, settings, inputs], sort_keys=True, default=str)
        return self.checkpoint / f"{sha256(text.encode()).hexdigest()}.parquet"

    def _read(self, path: Path | None, count: int) -> list[Any]:
        if path is None or not path.exists():
            return [None] * count
        return _arrow().parquet.read_table(path, schema=self._schema()).to_pylist()  # type: ignore[no-any-return]

    def _write(self, path: Path | None, rows: list[Any]) -> None:
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_files({path: True}) as (draft,):
            _arrow().parquet.write_table(self._table(rows), draft)


class EmbeddingColumn(NewColumn):
    """Adds embeddings of a column of texts, as lists of 32-bit floats. Equal texts of a table are sent once.

    A text that the service refuses does not fail those that travel with it: they are sent again in smaller requests.

    Args:
        dimensions: Length of the embeddings, where the model supports it.
        long_texts: What to do with texts that are longer than the model reads; see `client.embeddings.create`.
        request_size: Maximum number of texts in one request.
        **settings: Those of `NewColumn`.
    """

    def __init__(
        self,
        *,
        dimensions: int | None = None,
        long_texts: LongTexts = "send",
        request_size: int = embeddings.BATCH_SIZE,
        **settings: Any,
    ) -> None:
        super().__init__(**{"into": "embedding", **settings})
        if request_size < 1:
            raise ValueError(f"request_size must be at least 1, not {request_size!r}")
        self.dimensions = dimensions
        self.long_texts: LongTexts = long_texts
        self.request_size = request_size

    def _types(self) -> dict[str, Any]:
        return {self.into: _arrow().list_(_arrow().float32())}

    def _settings(self) -> dict[str, Any]:
        return {"dimensions": self.dimensions, "long_texts": self.long_texts}

    def _steps(self, inputs: Inputs) -> Iterator[Step | Flow[dict[int, Row]]]:
        indices: dict[str, list[int]] = {}
        for index, text in inputs.items():
            if isinstance(text, str):
                indices.setdefault(text, []).append(index)
            else:
                yield Local(partial(self._failure, [index], _wrong_type("a text", text)))
        texts = list(indices)
        for begin in range(0, len(texts), self.request_size):
            yield self._embed({text: indices[text] for text in texts[begin : begin + self.request_size]})

    def _embed(self, indices: dict[str, list[int]]) -> Flow[dict[int, Row]]:
        texts = list(indices)
        try:
            vectors = yield from embeddings.arrays(
                model=self.model,
                input=texts,
                dimensions=self.dimensions,
                batch_size=self.request_size,
                max_concurrency=1,
                long_texts=self.long_texts,
            )
        except FATAL_OF_MODEL:
            raise
        except TogetherError as error:
            if len(texts) > 1 and _blames_input(error):
                middle = len(texts) // 2
                rows: dict[int, Row] = {}
                for half in (texts[:middle], texts[middle:]):
                    rows |= yield from self._embed({text: indices[text] for text in half})
                return rows
            return self._failure([index for text in texts for index in indices[text]], error)
        return {
            index: {self.into: float32_of(vector)} for text, vector in zip(texts, vectors, strict=True) for index in indices[text]
        }


class AnswerColumn(NewColumn):
    """Adds the answers of a chat model to a column of prompts: texts, or lists of messages.

    Args:
        system: A system message before each prompt.
        params: Parameters of the requests, such as `max_tokens` and `response_format`.
        responses: A column for the whole response as JSON, with tool calls, finish reason and usage; None for no such column.
        **settings: Those of `NewColumn`.
    """

    def __init__(
        self,
        *,
        system: str | None = None,
        params: Mapping[str, Any] | None = None,
        responses: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**{"into": "answer", "max_concurrency": 32, **settings})
        self.system = system
        self.params = dict(params or {})
        self.responses = responses
        chat.complete(model=self.model, messages=[], **self.params)  # unknown parameters are refused here, not in each row

    def _types(self) -> dict[str, Any]:
        return {name: _arrow().string() for name in (self.into, self.responses) if name}

    def _settings(self) -> dict[str, Any]:
        return {"system": self.system, "params": self.params}

    def _steps(self, inputs: Inputs) -> Iterator[Step | Flow[dict[int, Row]]]:
        return (self._prompt_row(index, prompt) for index, prompt in inputs.items())

    def _prompt_row(self, index: int, prompt: Any) -> Flow[dict[int, Row]]:
        if not isinstance(prompt, str | list):
            return self._failure([index], _wrong_type("a text or a list of messages", prompt))
        messages: Any = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else _without_nulls(prompt)
        if self.system is not None:
            messages = [{"role": "system", "content": self.system}, *messages]
        try:
            body = yield chat.complete(model=self.model, messages=messages, **self.params).untyped()
        except FATAL_OF_MODEL:
            raise
        except TogetherError as error:
            return self._failure([index], error)
        row: Row = {self.into: (body["choices"][0].get("message") or {}).get("content")}
        if self.responses:
            row[self.responses] = json.dumps(body, ensure_ascii=False)
        return {index: row}


class RankingColumn(NewColumn):
    """Adds the documents of each row in the order of their relevance to its query: a list of `index` and `score`, best first.

    Args:
        query_column: The column of queries.
        top_n: Maximum number of documents in a ranking; None for all.
        params: Parameters of `client.rerank.create`, such as `method`.
        **settings: Those of `NewColumn`; `column` has lists of documents.
    """

    def __init__(
        self,
        *,
        query_column: str = "query",
        top_n: int | None = None,
        params: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**{"column": "documents", "into": "ranking", **settings})
        self.query_column = query_column
        self.top_n = top_n
        self.params = dict(params or {})

    def _types(self) -> dict[str, Any]:
        pa = _arrow()
        return {self.into: pa.list_(pa.struct({"index": pa.int32(), "score": pa.float64()}))}

    def _settings(self) -> dict[str, Any]:
        return {"top_n": self.top_n, "params": self.params}

    def _columns(self) -> list[str]:
        return [self.column, self.query_column]

    def _inputs(self, table: Any) -> list[Any]:
        return list(zip(*(table.column(name).to_pylist() for name in (self.query_column, self.column)), strict=True))

    def _steps(self, inputs: Inputs) -> Iterator[Step | Flow[dict[int, Row]]]:
        return (self._rank(index, *value) for index, value in inputs.items())

    def _rank(self, index: int, query: Any, documents: Any) -> Flow[dict[int, Row]]:
        if not isinstance(query, str) or not isinstance(documents, list):
            problem = _wrong_type("a query and a list of documents", (query, documents))
            return self._failure([index], problem)
        try:
            response = yield from rerank.create(
                model=self.model, query=query, documents=_without_nulls(documents), top_n=self.top_n, **self.params
            )
        except FATAL_OF_MODEL:
            raise
        except (TogetherError, TypeError) as error:  # a document of the row may be null
            return self._failure([index], error)
        return {index: {self.into: [{"index": each.index, "score": each.relevance_score} for each in response.results]}}


def _unless(fatal: list[TogetherError], step: Step | Flow[dict[int, Row]]) -> Flow[dict[int, Row]]:
    """Performs a step unless an error has come that every row would meet; such an error of its own is added."""
    if fatal:
        return {}
    try:
        return (yield from step) if isinstance(step, Generator) else (yield step)
    except FATAL_OF_MODEL as error:
        fatal.append(error)
        return {}


def _client(client: Together | None) -> Together:
    from together_adapters import Together  # not at the top: clients import `bulk` when a run starts

    if not isinstance(client, Together | None):
        raise TypeError(f"client must be a together_adapters.Together, not {type(client).__name__}")
    return client or Together()


def _arrow() -> Any:
    require("this", "ray", "pyarrow")
    import pyarrow as pa  # type: ignore[import-not-found,import-untyped,unused-ignore]
    import pyarrow.parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return pa


def _wrong_type(expected: str, value: Any) -> TypeError:
    return TypeError(f"{expected} was expected, not {value!r:.80}")


def _blames_input(error: TogetherError) -> bool:
    """Whether one text of several may be the reason, so that the others can succeed without it."""
    if isinstance(error, ContextLengthError):
        return True
    return (
        isinstance(error, APIStatusError)
        and error.status_code in (400, 413, 422)
        and not isinstance(error, ModelNotAvailableError)
    )


def _without_nulls(value: Any) -> Any:
    """Returns a value without the nulls that Arrow gives to fields which other rows have."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
