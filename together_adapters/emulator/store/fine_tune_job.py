"""A fine-tune and all that can be told of it: status, diary, checkpoints, metrics.

Everything follows from one number, the part of the job that its clock says is done; nothing runs in the background.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from together_adapters.emulator.http.routing import RequestContext
from together_adapters.emulator.store.clock import Clock
from together_adapters.emulator.store.dataset import Dataset

OWNER: Final = "emulated-user"
_STAGES: Final = ((0.04, "pending"), (0.12, "queued"), (0.8, "running"), (0.9, "compressing"), (1.0, "uploading"))
_TRAINS: Final = (0.2, 0.78)
"""The parts of a job between which it trains."""
_STEPS_PER_EPOCH: Final = 5
_CANCELLING: Final = 0.2
"""Real seconds between the wish to cancel and its fulfilment."""
_FAILS: Final = 0.2
NANODOLLARS: Final = 1_000_000_000


@dataclass(slots=True)
class FineTune:
    """One job. `body` is the request as it was checked, with defaults; secrets are no part of it."""

    id: str
    body: dict[str, Any]
    clock: Clock
    data: Dataset
    checks: Dataset | None
    base: str
    output: str
    batch: int
    price: float
    fails: bool = False
    wandb: bool = False
    cancelled: str = ""

    @property
    def fault(self) -> str:
        """Why it fails, as soon as that is known: its data are not right, or its suffix asked for it."""
        found = self.data.fault or (self.checks.fault if self.checks else "")
        return found or ("its suffix asks for that" if self.fails else "")

    @property
    def epochs(self) -> int:
        """How often it goes through its data."""
        return int(self.body.get("n_epochs", 1))

    @property
    def steps(self) -> int:
        """All its steps; a few for each epoch even of the smallest file, so that there is something to see."""
        return max(_STEPS_PER_EPOCH, math.ceil(len(self.data.rows) / max(self.batch, 1))) * self.epochs

    @property
    def is_lora(self) -> bool:
        """Whether it trains an adapter."""
        return bool(self.body["training_type"]["type"] == "Lora")

    @property
    def parameters(self) -> int:
        """How many weights the model has, as its name says."""
        sizes = [part[:-1] for part in self.base.lower().replace("_", "-").split("-") if part.endswith("b")]
        billions = [float(size) for size in sizes if size.replace(".", "", 1).isdigit()]
        return int((billions[0] if billions else 8.0) * 1e9)

    def part(self) -> float:
        """How much of it is done."""
        part = self.clock.part()
        return min(part, _FAILS) if self.fault else part

    def status(self) -> str:
        """Where it is."""
        if self.cancelled:
            return "cancel_requested" if self.cancelled == "asked" and self.clock.since_stop() < _CANCELLING else "cancelled"
        part = self.part()
        if self.fault and part >= _FAILS:
            return "error"
        return next((status for until, status in _STAGES if part < until), "completed")

    def cancel(self) -> None:
        """End it: at once while it waits, else after a moment."""
        self.cancelled = "waiting" if self.status() in ("pending", "queued") else "asked"
        self.clock.stop()

    def place_of(self, step: int) -> float:
        """The part of the job at which a step is done."""
        start, end = _TRAINS
        return start + (end - start) * step / self.steps

    def steps_done(self) -> int:
        """How many steps are done."""
        start, end = _TRAINS
        return max(0, min(self.steps, math.floor((self.part() - start) / (end - start) * self.steps + 1e-9)))

    def _spread(self, count: int) -> list[int]:
        """Steps that stand evenly, the last at the end."""
        count = min(count, self.steps)
        return [self.steps * number // count for number in range(1, count + 1)]

    @property
    def saves(self) -> list[int]:
        """Steps after which the model is kept."""
        return self._spread(int(self.body.get("n_checkpoints") or 1))

    @property
    def measures(self) -> list[int]:
        """Steps after which the loss on the validation file is measured."""
        return self._spread(int(self.body.get("n_evals") or 0)) if self.checks else []

    def loss(self, step: int) -> float:
        """It falls, with a little noise that is always the same."""
        noise = crc32(f"{self.data.digest}{step}".encode()) % 1000 / 1000 - 0.5
        rate = 3.0 * step / self.steps
        return round(0.4 + 2.2 * math.exp(-rate) + 0.02 * noise, 4)

    def learning_rate(self, step: int) -> float:
        """As the scheduler has it."""
        peak = float(self.body.get("learning_rate", 1e-5))
        scheduler = self.body.get("lr_scheduler") or {}
        args = scheduler.get("lr_scheduler_args") or {}
        least, done = float(args.get("min_lr_ratio") or 0.0), step / self.steps
        if scheduler.get("lr_scheduler_type") == "linear":
            return peak * (least + (1 - least) * (1 - done))
        return peak * (least + (1 - least) * 0.5 * (1 + math.cos(2 * math.pi * float(args.get("num_cycles", 0.5)) * done)))

    def metrics(self) -> list[tuple[str, dict[str, float]]]:
        """What was measured so far, with when."""
        found = []
        for step in range(1, self.steps_done() + 1):
            row: dict[str, float] = {"train/global_step": step, "train/epoch": round(step / self.steps * self.epochs, 4)}
            row |= {"train/loss": self.loss(step), "train/learning_rate": self.learning_rate(step)}
            if step in self.measures:
                row["eval/loss"] = round(self.loss(step) + 0.05, 4)
            found.append((self.clock.at(self.place_of(step)), row))
        return found

    def checkpoints(self) -> list[dict[str, Any]]:
        """What was kept so far; the final ones once it is completed."""
        kept = [self._checkpoint(step, "Intermediate", "model") for step in self.saves[:-1] if step <= self.steps_done()]
        if self.status() == "completed":
            kinds = (("Final Merged", "model"), ("Final Adapter", "adapter")) if self.is_lora else (("Final", "model"),)
            kept += [self._checkpoint(self.steps, label, kind) for label, kind in kinds]
        return kept

    def _checkpoint(self, step: int, label: str, kind: str) -> dict[str, Any]:
        final = step == self.steps
        return {
            "step": step,
            "created_at": self.clock.at(1.0 if final else self.place_of(step)),
            "path": f"s3://emulated/{self.id}/{kind}/step-{step}",
            "checkpoint_type": label if final else f"{label} (step {step})",
            "checkpoint": kind,
            "object_name": self.output if final else f"{self.output}:{step}",
        }

    def events(self) -> list[dict[str, Any]]:
        """Its diary so far. Types are in upper case, which the strictest client asks for."""
        part = self.part()
        story = sorted(self._story(), key=lambda entry: entry[0])
        told = [self._event(at, kind, message, **more) for at, kind, message, more in story if at <= part]
        if self.fault and part >= _FAILS:
            told.append(self._event(_FAILS, "JOB_ERROR", f"The job failed: {self.fault}", level="error"))
        if self.cancelled:
            told.append(self._event(part, "CANCEL_REQUESTED", "Somebody asked to cancel the job"))
            if self.status() == "cancelled":
                told.append(self._event(part, "JOB_STOPPED", "The job was cancelled"))
        return told

    def _event(self, part: float, kind: str, message: str, level: str = "info", **more: Any) -> dict[str, Any]:
        told = {"object": "fine-tune-event", "created_at": self.clock.at(part), "level": level, "message": message, "type": kind}
        return {**told, "hash": f"{crc32(f'{self.id}{kind}{part}'.encode()):08x}", **more}

    def _story(self) -> Iterator[tuple[float, str, str, dict[str, Any]]]:
        """Everything that happens if all goes well: part, type, message, and what else belongs to it."""
        yield (0.0, "JOB_PENDING", "The job waits for its turn", {})
        yield (0.12, "JOB_START", "The job has begun", {})
        yield (0.13, "MODEL_DOWNLOADING", f"Fetching {self.base}", {})
        yield (
            0.15,
            "MODEL_DOWNLOAD_COMPLETE",
            f"{self.base} is here, {self.parameters} parameters",
            {"param_count": self.parameters},
        )
        yield (0.16, "TRAINING_DATA_DOWNLOADING", f"Fetching {self.data.id}", {})
        if self.fault:
            return
        yield (
            0.17,
            "TRAINING_DATA_DOWNLOAD_COMPLETE",
            f"{self.data.id} is here, {self.data.tokens} tokens",
            {"token_count": self.data.tokens},
        )
        if self.checks:
            yield (0.175, "VALIDATION_DATA_DOWNLOADING", f"Fetching {self.checks.id}", {})
            yield (0.18, "VALIDATION_DATA_DOWNLOAD_COMPLETE", f"{self.checks.id} is here, {self.checks.tokens} tokens", {})
        if self.wandb:
            yield (0.19, "WANDB_INIT", "Weights & Biases is told", {})
        yield (0.2, "TRAINING_START", f"Training begins: {self.steps} steps", {"total_steps": self.steps})
        for step in self.measures:
            yield (
                self.place_of(step),
                "EVAL_COMPLETE",
                f"Measured after step {step}: loss {self.loss(step) + 0.05:.4f}",
                {"step": step},
            )
        for epoch in range(1, self.epochs + 1):
            yield (
                self.place_of(self.steps * epoch // self.epochs),
                "EPOCH_COMPLETE",
                f"Epoch {epoch} of {self.epochs} is done",
                {},
            )
        for step in self.saves:
            yield (self.place_of(step) + 0.001, "CHECKPOINT_SAVE", f"The model is kept after step {step}", {"step": step})
        yield (0.79, "TRAINING_COMPLETE", "Training is done", {})
        yield (0.8, "COMPRESSING_MODEL", "Compressing the model", {})
        yield (0.89, "MODEL_COMPRESSION_COMPLETE", "The model is compressed", {})
        yield (0.9, "MODEL_UPLOADING", "Storing the model", {})
        yield (
            0.99,
            "MODEL_UPLOAD_COMPLETE",
            f"The model is stored as {self.output}",
            {"model_path": f"s3://emulated/{self.id}/model"},
        )
        yield (1.0, "JOB_COMPLETE", "The job is done", {})

    def shown(self, whole: bool) -> dict[str, Any]:
        """The job, or as lists show it."""
        status, part, done = self.status(), self.part(), self.steps_done()
        entry: dict[str, Any] = {
            "id": self.id,
            "status": status,
            "created_at": self.clock.at(0.0),
            "updated_at": self.clock.at(part),
            "started_at": self.clock.at(0.12) if part >= 0.12 else "",
            "user_id": OWNER,
            "owner_address": OWNER,
            **self.body,
            "model": self.base,
            "model_output_name": self.output,
            "batch_size": self.batch,
            "total_price": round(self.price * NANODOLLARS),
            "token_count": self.data.tokens * self.epochs,
        }
        if self.is_lora:
            entry["adapter_output_name"] = f"{self.output}-adapter"
        if not whole:
            return entry
        left = max(0, round(self.clock.lasts * (1 - part)))
        return entry | {
            "job_id": self.id,
            "model_output_path": f"s3://emulated/{self.id}/model" if status == "completed" else "",
            "param_count": self.parameters,
            "total_steps": self.steps,
            "steps_completed": done,
            "epochs_completed": done * self.epochs // self.steps,
            "evals_completed": sum(step <= done for step in self.measures),
            "queue_depth": 1 if status == "queued" else 0,
            "progress": {"estimate_available": status == "running", "seconds_remaining": left},
            "TrainingFileNumLines": len(self.data.rows),
            "TrainingFileSize": self.data.size,
            "trainingfile_numlines": len(self.data.rows),
            "trainingfile_size": self.data.size,
            "events": self.events(),
        }


def jobs_of(context: RequestContext) -> dict[str, FineTune]:
    """The jobs of this server by id, the oldest first."""
    jobs: dict[str, FineTune] = context.state.shelf.setdefault("fine-tunes", {})
    return jobs


def by_output(context: RequestContext, name: str) -> FineTune | None:
    """The job whose model, adapter or checkpoint (`name:step`) has a name."""
    plain = name.partition(":")[0]
    for job in jobs_of(context).values():
        if plain in (job.output, f"{job.output}-adapter"):
            return job
    return None
