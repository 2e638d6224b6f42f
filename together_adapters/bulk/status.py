"""What a checkpoint holds, read beside the run that writes to it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from together_adapters.bulk.checkpoint import Checkpoint
from together_adapters.bulk.database import Database


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The state of a run, or of the vectors of one.

    Attributes:
        kind: `requests` or `vectors`.
        settings: What the checkpoint is for, such as the endpoint or the model.
        total: Inputs of the last start; vectors.
        done: Inputs that have an answer or have failed.
        failed: Inputs that have failed.
        jobs: The ids of jobs whose answers have not been read.
        input_tokens: Tokens of all prompts that were answered, each different one once.
        output_tokens: Tokens of all answers.
    """

    kind: str
    settings: dict[str, str]
    total: int
    done: int
    failed: int
    jobs: list[str]
    input_tokens: int
    output_tokens: int


def read_status(path: str | os.PathLike[str]) -> RunStatus:
    """Returns the state of a run by its checkpoint.

    Raises:
        FileNotFoundError: There is no such file.
        ConfigurationError: It is no checkpoint.
    """
    database = Database(path, read_only=True)
    try:
        settings = dict(database.run("SELECT name, value FROM settings"))
        kind = settings.pop("kind", "requests")
        vectors = database.run("SELECT count(*) FROM vectors")[0][0]
        jobs = [id for (id,) in database.run("SELECT batch_id FROM shards WHERE batch_id IS NOT NULL AND status IS NULL")]
    finally:
        database.close()
    settings = {name: value for name, value in settings.items() if value != "None"}
    if kind == "vectors":
        return RunStatus(kind, settings, vectors, vectors, 0, [], 0, 0)
    checkpoint = Checkpoint(path, settings["endpoint"], read_only=True)
    try:
        total, done, failed = checkpoint.counts()
        tokens = checkpoint.usage().values()
    finally:
        checkpoint.close()
    used = sum(each.input for each in tokens), sum(each.output for each in tokens)
    return RunStatus(kind, settings, total, done, failed, jobs, *used)
