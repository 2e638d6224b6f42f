"""Fine-tuning jobs: everything is computed from the progress of their clocks; nothing runs in the background."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from together_adapters.emulator.errors import model_not_available
from together_adapters.emulator.store.catalogue import OWNER, billions
from together_adapters.emulator.store.dataset import DatasetFile
from together_adapters.emulator.store.nearest_example import NearestExampleModel, TrainingExample
from together_adapters.emulator.store.records import MAX_RECORDS, JobClock, RecordStore

_STAGES: Final = ((0.04, "pending"), (0.12, "queued"), (0.8, "running"), (0.9, "compressing"), (1.0, "uploading"))
_TRAINING: Final = (0.2, 0.78)  # the progress at which training starts and ends
_MIN_STEPS_PER_EPOCH: Final = 5
_CANCEL_SECONDS: Final = 0.2  # seconds between the request to cancel and the end of a job
_FAILS_AT: Final = 0.2
_MAX_MODELS: Final = 8  # that are kept in memory
_NANODOLLARS: Final = 1_000_000_000
_EVENT_FIELDS: Final = {
    **dict.fromkeys(("param_count", "token_count", "total_steps", "step", "training_offset"), 0),
    **dict.fromkeys(("wandb_url", "checkpoint_path", "model_path"), ""),
}
"""What every event has: without a value of its own, it is 0 or empty."""
_Event = tuple[float, str, str, dict[str, Any]]


@dataclass(slots=True)
class FineTuneJob:
    """One job. `parameters` is the request with its defaults, without secrets."""

    id: str
    parameters: dict[str, Any]
    clock: JobClock
    data: DatasetFile
    validation_data: DatasetFile | None
    base_model: str
    output_name: str
    batch_size: int
    price: float
    fails: bool = False  # although its data is valid
    uses_wandb: bool = False
    cancelled: str = ""  # the state in which it was cancelled: `waiting` or `running`

    @property
    def error(self) -> str:
        """Why it fails, once that is known: its data is invalid, or its suffix asks for it."""
        error = self.data.error or (self.validation_data.error if self.validation_data else "")
        return error or ("its suffix asks for that" if self.fails else "")

    @property
    def epochs(self) -> int:
        return int(self.parameters.get("n_epochs", 1))

    @property
    def steps(self) -> int:
        """The number of its steps: a few for each epoch even of the smallest file, so that progress is visible."""
        return max(_MIN_STEPS_PER_EPOCH, math.ceil(self.data.row_count / max(self.batch_size, 1))) * self.epochs

    @property
    def is_lora(self) -> bool:
        return bool(self.parameters["training_type"]["type"] == "Lora")

    @property
    def parameter_count(self) -> int:
        return int((billions(self.base_model) or 8.0) * 1e9)

    def progress(self) -> float:
        progress = self.clock.progress()
        return min(progress, _FAILS_AT) if self.error else progress

    def status(self) -> str:
        if self.cancelled:
            is_stopping = self.cancelled == "running" and self.clock.since_stop() < _CANCEL_SECONDS
            return "cancel_requested" if is_stopping else "cancelled"
        progress = self.progress()
        if self.error and progress >= _FAILS_AT:
            return "error"
        return next((status for end, status in _STAGES if progress < end), "completed")

    def cancel(self) -> None:
        """Cancels it: at once while it waits, otherwise after a moment."""
        self.cancelled = "waiting" if self.status() in ("pending", "queued") else "running"
        self.clock.stop()

    def progress_at(self, step: int) -> float:
        start, end = _TRAINING
        return start + (end - start) * step / self.steps

    def steps_done(self) -> int:
        start, end = _TRAINING
        return max(0, min(self.steps, math.floor((self.progress() - start) / (end - start) * self.steps + 1e-9)))

    def _spread_steps(self, count: int) -> list[int]:
        """Returns steps at equal distances, the last at the end."""
        count = min(count, self.steps)
        return [self.steps * number // count for number in range(1, count + 1)]

    @property
    def checkpoint_steps(self) -> list[int]:
        """Steps after which a checkpoint is saved."""
        return self._spread_steps(int(self.parameters.get("n_checkpoints") or 1))

    @property
    def eval_steps(self) -> list[int]:
        """Steps after which the loss on the validation file is measured."""
        return self._spread_steps(int(self.parameters.get("n_evals") or 0)) if self.validation_data else []

    def loss(self, step: int) -> float:
        """Returns the loss: it falls, with reproducible noise."""
        noise = crc32(f"{self.data.digest}{step}".encode()) % 1000 / 1000 - 0.5
        return round(0.4 + 2.2 * math.exp(-3.0 * step / self.steps) + 0.02 * noise, 4)

    def learning_rate(self, step: int) -> float:
        peak = float(self.parameters.get("learning_rate", 1e-5))
        scheduler = self.parameters.get("lr_scheduler") or {}
        args = scheduler.get("lr_scheduler_args") or {}
        min_ratio, done = float(args.get("min_lr_ratio") or 0.0), step / self.steps
        if scheduler.get("lr_scheduler_type") == "linear":
            return peak * (min_ratio + (1 - min_ratio) * (1 - done))
        cosine = 0.5 * (1 + math.cos(2 * math.pi * float(args.get("num_cycles", 0.5)) * done))
        return peak * (min_ratio + (1 - min_ratio) * cosine)

    def metrics(self) -> list[tuple[str, dict[str, float]]]:
        """Returns what has been measured, each with its time."""
        metrics = []
        for step in range(1, self.steps_done() + 1):
            row: dict[str, float] = {"train/global_step": step, "train/epoch": round(step / self.steps * self.epochs, 4)}
            row |= {"train/loss": self.loss(step), "train/learning_rate": self.learning_rate(step)}
            if step in self.eval_steps:
                row["eval/loss"] = round(self.loss(step) + 0.05, 4)
            metrics.append((self.clock.at(self.progress_at(step)), row))
        return metrics

    def checkpoints(self) -> list[dict[str, Any]]:
        """Returns the checkpoints saved so far; the final ones once it is completed."""
        steps = [step for step in self.checkpoint_steps[:-1] if step <= self.steps_done()]
        checkpoints = [self._checkpoint(step, "Intermediate", "model") for step in steps]
        if self.status() == "completed":
            kinds = (("Final Merged", "model"), ("Final Adapter", "adapter")) if self.is_lora else (("Final", "model"),)
            checkpoints += [self._checkpoint(self.steps, label, kind) for label, kind in kinds]
        return checkpoints

    def _path(self, step: int, kind: str) -> str:
        return f"s3://emulated/{self.id}/{kind}/step-{step}"

    def _checkpoint(self, step: int, label: str, kind: str) -> dict[str, Any]:
        is_final = step == self.steps
        return {
            "step": step,
            "created_at": self.clock.at(1.0 if is_final else self.progress_at(step)),
            "path": self._path(step, kind),
            "checkpoint_type": label if is_final else f"{label} (step {step})",
            "checkpoint": kind,
            "object_name": self.output_name if is_final else f"{self.output_name}:{step}",
        }

    def events(self) -> list[dict[str, Any]]:
        """Returns the events so far. Types are in upper case, as the strictest client requires."""
        progress = self.progress()
        timeline = sorted(self._timeline(), key=lambda entry: entry[0])
        events = [self._event(at, type, message, **fields) for at, type, message, fields in timeline if at <= progress]
        if self.error and progress >= _FAILS_AT:
            events.append(self._event(_FAILS_AT, "JOB_ERROR", f"The job failed: {self.error}", level="error"))
        if self.cancelled:
            events.append(self._event(progress, "CANCEL_REQUESTED", "Cancellation requested"))
            if self.status() == "cancelled":
                events.append(self._event(progress, "JOB_STOPPED", "The job was cancelled"))
        return events

    def _event(self, progress: float, type: str, message: str, level: str = "info", **fields: Any) -> dict[str, Any]:
        return _EVENT_FIELDS | {
            "object": "fine-tune-event",
            "created_at": self.clock.at(progress),
            "level": level,
            "message": message,
            "type": type,
            "hash": f"{crc32(f'{self.id}{type}{progress}'.encode()):08x}",
            **fields,
        }

    def _timeline(self) -> Iterator[_Event]:
        """Yields the events of a job without errors: progress, type, message, and further fields."""
        base, data, validation_data, count = self.base_model, self.data, self.validation_data, self.parameter_count
        yield 0.0, "JOB_PENDING", "The job is pending", {}
        yield 0.12, "JOB_START", "The job has started", {}
        yield 0.13, "MODEL_DOWNLOADING", f"Downloading {base}", {}
        yield 0.15, "MODEL_DOWNLOAD_COMPLETE", f"Downloaded {base}, {count / 1e9:g} billion parameters", {"param_count": count}
        yield 0.16, "TRAINING_DATA_DOWNLOADING", f"Downloading {data.id}", {}
        if self.error:
            return
        tokens = {"token_count": data.tokens}
        yield 0.17, "TRAINING_DATA_DOWNLOAD_COMPLETE", f"Downloaded {data.id}, {data.tokens} tokens", tokens
        if validation_data:
            id, count = validation_data.id, validation_data.tokens
            yield 0.175, "VALIDATION_DATA_DOWNLOADING", f"Downloading {id}", {}
            yield 0.18, "VALIDATION_DATA_DOWNLOAD_COMPLETE", f"Downloaded {id}, {count} tokens", {}
        if self.uses_wandb:
            yield 0.19, "WANDB_INIT", "Weights & Biases run created", {"wandb_url": f"https://wandb.invalid/{self.id}"}
        yield 0.2, "TRAINING_START", f"Training started: {self.steps} steps", {"total_steps": self.steps}
        for step in self.eval_steps:
            message = f"Evaluation loss after step {step}: {self.loss(step) + 0.05:.4f}"
            yield self.progress_at(step), "EVAL_COMPLETE", message, {"step": step}
        for epoch in range(1, self.epochs + 1):
            at = self.progress_at(self.steps * epoch // self.epochs)
            yield at, "EPOCH_COMPLETE", f"Epoch {epoch} of {self.epochs} completed", {}
        for step in self.checkpoint_steps:
            saved = {"step": step, "checkpoint_path": self._path(step, "model")}
            yield self.progress_at(step) + 0.001, "CHECKPOINT_SAVE", f"Checkpoint saved after step {step}", saved
        yield 0.79, "TRAINING_COMPLETE", "Training completed", {}
        yield 0.8, "COMPRESSING_MODEL", "Compressing the model", {}
        yield 0.89, "MODEL_COMPRESSION_COMPLETE", "Model compressed", {}
        yield 0.9, "MODEL_UPLOADING", "Uploading the model", {}
        path = {"model_path": f"s3://emulated/{self.id}/model"}
        yield 0.99, "MODEL_UPLOAD_COMPLETE", f"The model is stored as {self.output_name}", path
        yield 1.0, "JOB_COMPLETE", "The job is completed", {}

    def summary(self) -> dict[str, Any]:
        progress = self.progress()
        summary: dict[str, Any] = {
            "id": self.id,
            "status": self.status(),
            "created_at": self.clock.at(0.0),
            "updated_at": self.clock.at(progress),
            "started_at": self.clock.at(0.12) if progress >= 0.12 else "",
            "user_id": OWNER,
            "owner_address": OWNER,
            **self.parameters,
            "model": self.base_model,
            "model_output_name": self.output_name,
            "batch_size": self.batch_size,
            "total_price": round(self.price * _NANODOLLARS),
            "token_count": self.data.tokens * self.epochs,
        }
        if self.is_lora:
            summary["adapter_output_name"] = f"{self.output_name}-adapter"
        return summary

    def details(self) -> dict[str, Any]:
        summary, done = self.summary(), self.steps_done()
        status = summary["status"]
        seconds_left = max(0, round(self.clock.duration * (1 - self.progress())))
        return summary | {
            "job_id": self.id,
            "model_output_path": f"s3://emulated/{self.id}/model" if status == "completed" else "",
            "param_count": self.parameter_count,
            "total_steps": self.steps,
            "steps_completed": done,
            "epochs_completed": done * self.epochs // self.steps,
            "evals_completed": sum(step <= done for step in self.eval_steps),
            "queue_depth": 1 if status == "queued" else 0,
            "progress": {"estimate_available": status == "running", "seconds_remaining": seconds_left},
            **dict.fromkeys(("TrainingFileNumLines", "trainingfile_numlines"), self.data.row_count),
            **dict.fromkeys(("TrainingFileSize", "trainingfile_size"), self.data.size),
            "events": self.events(),
        }


class JobStore(RecordStore[FineTuneJob]):
    """The fine-tuning jobs of one emulator, and their models: each answers as the nearest example of its training file does."""

    def __init__(self) -> None:
        super().__init__("fine-tuning job", limit=MAX_RECORDS)
        self._models: dict[str, NearestExampleModel] = {}

    def discard(self, id: str) -> None:
        job = self.pop(id)
        self._models.pop(id, None)
        for data in filter(None, (job.data, job.validation_data)):
            data.release()

    def completed(self) -> list[FineTuneJob]:
        """Returns the jobs whose models can be used."""
        return [job for job in self.values() if job.status() == "completed"]

    def by_output(self, name: Any) -> FineTuneJob | None:
        """Returns the job whose model, adapter or checkpoint (`name:step`) has this name."""
        name = name.partition(":")[0] if isinstance(name, str) else None
        return next((job for job in self.values() if name in (job.output_name, f"{job.output_name}-adapter")), None)

    def of_model(self, model: Any) -> FineTuneJob | None:
        """Returns the job that trained a model, or None; raises `ApiError` if the job is not completed."""
        job = self.by_output(model)
        if job is not None and job.status() != "completed":
            raise model_not_available(str(model))
        return job

    def nearest_example(self, job: FineTuneJob, question: str, images: tuple[str, ...] = ()) -> TrainingExample | None:
        """Returns the example that answers a question, or None."""
        if job.id not in self._models:
            if len(self._models) == _MAX_MODELS:
                del self._models[next(iter(self._models))]
            self._models[job.id] = NearestExampleModel(job.data.rows())
        return self._models[job.id].nearest(question, images)

    def answer(self, model: str, question: str) -> str | None:
        """Returns the answer of a model; None where it is not fine-tuned, or has no near example."""
        job = self.by_output(model)
        example = self.nearest_example(job, question) if job and job.status() == "completed" else None
        return example.answer if example else None
