"""Fine-tuned models: each answers as the nearest example of its training file does."""

from __future__ import annotations

from typing import Any

from together_adapters.emulator.engine.nearest_example import NearestExampleModel, TrainingExample
from together_adapters.emulator.errors import model_not_available
from together_adapters.emulator.store.fine_tune_job import FineTuneJob, JobStore


class TunedModels:
    """The models that the jobs of one emulator have trained."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._models: dict[str, NearestExampleModel] = {}

    def find_job(self, model: Any) -> FineTuneJob | None:
        """Returns the job that trained a model, or None; raises `ApiError` if the job is not completed."""
        job = self._jobs.by_output(model) if isinstance(model, str) else None
        if job is not None and job.status() != "completed":
            raise model_not_available(str(model))
        return job

    def nearest_example(self, job: FineTuneJob, question: str, images: tuple[str, ...] = ()) -> TrainingExample | None:
        """Returns the example that answers a question, or None."""
        if job.id not in self._models:
            self._models[job.id] = NearestExampleModel(job.data.rows)
        return self._models[job.id].nearest(question, images)

    def answer(self, model: str, question: str) -> str | None:
        """Returns the answer of a model; None where it is not fine-tuned, or has no near example."""
        job = self._jobs.by_output(model)
        example = self.nearest_example(job, question) if job and job.status() == "completed" else None
        return example.answer if example else None
