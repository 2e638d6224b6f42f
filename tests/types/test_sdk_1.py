"""Types by their names in `together` 1.x: what the import gives, or says to write."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from pydantic import BaseModel

from together_adapters import types
from together_adapters.emulator import Emulator
from together_adapters.sdk_1 import _CLASSES, _PARAMETERS

NAMES = """
    TogetherClient TogetherRequest CompletionChunk CompletionRequest CompletionResponse ChatCompletionChunk ChatCompletionRequest
    ChatCompletionResponse EmbeddingRequest EmbeddingResponse FinetuneCheckpoint FinetuneRequest FinetuneResponse FinetuneList FinetuneListEvents
    FinetuneDeleteResponse FinetuneDownloadResult FinetuneLRScheduler FinetunePriceEstimationRequest FinetunePriceEstimationResponse
    LinearLRScheduler LinearLRSchedulerArgs CosineLRScheduler CosineLRSchedulerArgs FileRequest FileResponse FileList FileDeleteResponse FileObject
    FilePurpose FileType ImageRequest ImageResponse ModelObject ModelUploadRequest ModelUploadResponse TrainingType FullTrainingType LoRATrainingType
    TrainingMethodDPO TrainingMethodSFT RerankRequest RerankResponse FinetuneTrainingLimits FinetuneMultimodalParams AudioSpeechRequest
    AudioResponseFormat AudioLanguage AudioResponseEncoding AudioSpeechStreamChunk AudioSpeechStreamResponse AudioTranscriptionRequest
    AudioTranslationRequest AudioTranscriptionResponse AudioTranscriptionVerboseResponse AudioTranslationResponse AudioTranslationVerboseResponse
    AudioTranscriptionResponseFormat AudioTimestampGranularities ModelVoices VoiceListResponse DedicatedEndpoint ListEndpoint Autoscaling BatchJob
    BatchJobStatus BatchEndpoint EvaluationType EvaluationStatus JudgeModelConfig ModelRequest ClassifyParameters ScoreParameters CompareParameters
    EvaluationRequest EvaluationCreateResponse EvaluationJob EvaluationStatusResponse CreateVideoBody CreateVideoResponse VideoJob
"""
"""All names of `together.types` in 1.6.0."""
CLASSES = {name for names in _CLASSES.values() for name in names}


@pytest.mark.parametrize("name", NAMES.split())
def test_every_name_is_a_class_or_says_what_to_write(name: str) -> None:
    with nullcontext() if name in CLASSES else pytest.raises(ImportError, match=f"together_adapters.* {name}"):
        assert issubclass(getattr(types, name), BaseModel) is (name != "AudioSpeechStreamResponse")


def test_methods_return_the_classes(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    answer = flavour.run(
        client.chat.completions.create(model="openai/gpt-oss-120b", messages=[{"role": "user", "content": "hi"}])
    )
    assert isinstance(answer, types.ChatCompletionResponse)  # type: ignore[attr-defined]
    assert isinstance(flavour.run(client.files.list()), types.FileList)  # type: ignore[attr-defined]


def test_imports_say_what_to_write() -> None:
    with pytest.raises(ImportError, match="no FilePurpose, as its values are plain strings: purpose='fine-tune'"):
        from together_adapters.types import FilePurpose  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="purpose='fine-tune'"):
        from together_adapters.types.files import FilePurpose  # type: ignore[attr-defined]  # noqa: F401
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        types.Nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("method", sorted(set(_PARAMETERS.values())))
def test_methods_that_are_named_exist(flavour: Any, method: str) -> None:
    target = flavour.client()
    for name in method.split("."):
        target = getattr(target, name)
    assert callable(target)
