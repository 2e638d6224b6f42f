"""Embeddings, answers and rankings for data sets of Ray Data (extra `ray`): actors with a client each, failures in a column.

Ray does a block again whose worker died. With a `checkpoint` folder what was finished is not asked again, neither then nor in a later
job over the same data.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from together_adapters._lazy import require
from together_adapters.bulk.columns import AnswerColumn, EmbeddingColumn, NewColumn, RankingColumn
from together_adapters.resources.embedding_limits import LongTexts

if TYPE_CHECKING:
    from together_adapters.client import Together

Path = str | PathLike[str]
_CPUS = 0.25  # of an actor, which waits for the service most of the time


def embed(
    ds: Any,
    *,
    model: str,
    column: str,
    into: str = "embedding",
    errors: str | None = None,
    dimensions: int | None = None,
    long_texts: LongTexts = "send",
    concurrency: int | tuple[int, int] = 2,
    batch_size: int = 1_024,
    max_concurrency: int = 8,
    checkpoint: Path | None = None,
    client: Together | None = None,
    **options: Any,
) -> Any:
    """Adds embeddings of a column of texts, as lists of 32-bit floats. Equal texts of a batch are sent once.

    A text that the service refuses fails alone: those that travel with it are sent again in smaller requests.

    Args:
        ds: A `ray.data.Dataset`.
        model: An embedding model.
        column: The column of texts.
        into: The new column.
        errors: The column of errors: null, or the error of the row as text; by default the name of the new column with `_error`.
        dimensions: Length of the embeddings, where the model supports it.
        long_texts: What to do with texts that are longer than the model reads; see `client.embeddings.create`.
        concurrency: Number of actors, or their minimum and maximum.
        batch_size: Rows that an actor gets at a time.
        max_concurrency: Maximum number of simultaneous requests of an actor.
        checkpoint: A folder that all workers can write to. It keeps each batch that was finished, by its content and its settings,
            so that it is not asked again; rows that failed are.
        client: A client, of which each actor gets a copy; by default one with the settings of the environment. A key that came from
            the environment is not sent to the actors: set it on their machines as well. One that was passed in is.
        **options: Further arguments of `map_batches`, such as `num_cpus`, which is 0.25.

    Returns:
        The data set with the new columns, in the order that Ray keeps.

    Raises:
        ImportError: Ray is not installed.
        ConfigurationError: There is neither a key nor a client.
    """
    settings: dict[str, Any] = {"model": model, "column": column, "into": into, "errors": errors, "dimensions": dimensions}
    settings |= {"long_texts": long_texts, "max_concurrency": max_concurrency, "checkpoint": checkpoint, "client": client}
    return _map(ds, EmbeddingColumn, settings, concurrency, batch_size, options)


def chat(
    ds: Any,
    *,
    model: str,
    column: str,
    into: str = "answer",
    errors: str | None = None,
    responses: str | None = None,
    system: str | None = None,
    params: Mapping[str, Any] | None = None,
    concurrency: int | tuple[int, int] = 2,
    batch_size: int = 256,
    max_concurrency: int = 32,
    checkpoint: Path | None = None,
    client: Together | None = None,
    **options: Any,
) -> Any:
    """Adds the answers of a chat model to a column of prompts: texts, or lists of messages.

    Args:
        ds: A `ray.data.Dataset`.
        model: A chat model.
        column: The column of prompts.
        into: The new column, with the text of the answer.
        errors: The column of errors; see `embed`.
        responses: A column for the whole response as JSON, with tool calls, finish reason and usage; None for no such column.
        system: A system message before each prompt.
        params: Parameters of the requests, such as `max_tokens` and `response_format`.
        concurrency: Number of actors, or their minimum and maximum.
        batch_size: Rows that an actor gets at a time.
        max_concurrency: Maximum number of simultaneous requests of an actor.
        checkpoint: A folder that keeps what was finished; see `embed`.
        client: A client; see `embed`.
        **options: Further arguments of `map_batches`.

    Returns:
        The data set with the new columns.

    Raises:
        ImportError: Ray is not installed.
        ConfigurationError: There is neither a key nor a client.
        TypeError: A parameter is unknown.
    """
    settings: dict[str, Any] = {
        "model": model,
        "column": column,
        "into": into,
        "errors": errors,
        "responses": responses,
        "system": system,
    }
    settings |= {"params": params, "max_concurrency": max_concurrency, "checkpoint": checkpoint, "client": client}
    return _map(ds, AnswerColumn, settings, concurrency, batch_size, options)


def rerank(
    ds: Any,
    *,
    model: str,
    column: str = "documents",
    query_column: str = "query",
    into: str = "ranking",
    errors: str | None = None,
    top_n: int | None = None,
    params: Mapping[str, Any] | None = None,
    concurrency: int | tuple[int, int] = 2,
    batch_size: int = 128,
    max_concurrency: int = 8,
    checkpoint: Path | None = None,
    client: Together | None = None,
    **options: Any,
) -> Any:
    """Adds the documents of each row in the order of their relevance to its query: a list of `index` and `score`, best first.

    Args:
        ds: A `ray.data.Dataset`.
        model: A rerank model, or any chat model.
        column: The column of documents, a list in each row.
        query_column: The column of queries.
        into: The new column.
        errors: The column of errors; see `embed`.
        top_n: Maximum number of documents in a ranking; None for all.
        params: Parameters of `client.rerank.create`, such as `method`.
        concurrency: Number of actors, or their minimum and maximum.
        batch_size: Rows that an actor gets at a time.
        max_concurrency: Maximum number of rows that an actor ranks at a time.
        checkpoint: A folder that keeps what was finished; see `embed`.
        client: A client; see `embed`.
        **options: Further arguments of `map_batches`.

    Returns:
        The data set with the new columns.

    Raises:
        ImportError: Ray is not installed.
        ConfigurationError: There is neither a key nor a client.
    """
    settings: dict[str, Any] = {
        "model": model,
        "column": column,
        "query_column": query_column,
        "into": into,
        "errors": errors,
        "top_n": top_n,
    }
    settings |= {"params": params, "max_concurrency": max_concurrency, "checkpoint": checkpoint, "client": client}
    return _map(ds, RankingColumn, settings, concurrency, batch_size, options)


def _map(
    ds: Any,
    kind: type[NewColumn],
    settings: dict[str, Any],
    concurrency: int | tuple[int, int],
    batch_size: int,
    options: dict[str, Any],
) -> Any:
    """Returns a data set that actors complete, each with an object of its own."""
    require("this", "ray", "ray")
    from ray.data import ActorPoolStrategy  # type: ignore[import-not-found,import-untyped,unused-ignore]

    settings["client"] = kind(**settings).client  # what is wrong with the settings is said here, not by an actor
    low, high = (concurrency, concurrency) if isinstance(concurrency, int) else concurrency
    return ds.map_batches(
        kind,
        fn_constructor_kwargs=settings,
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=low, max_size=high),
        **{"num_cpus": _CPUS, **options},
    )
