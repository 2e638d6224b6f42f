"""The types of the `together` 1.x SDK by their names there: the classes that are the same here, and what to write for the others."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

_TYPES: Final = "together_adapters.types"
_CLASSES: Final = {
    "audio": {
        "AudioSpeechStreamChunk": "SpeechChunk",
        "AudioSpeechStreamResponse": "Speech",
        "AudioTranscriptionResponse": "Transcription",
        "AudioTranscriptionVerboseResponse": "Transcription",
        "AudioTranslationResponse": "Transcription",
        "AudioTranslationVerboseResponse": "Transcription",
        "ModelVoices": "ModelVoices",
        "VoiceListResponse": "VoiceList",
    },
    "batches": {"BatchJob": "BatchJob"},
    "chat": {"ChatCompletionChunk": "ChatCompletionChunk", "ChatCompletionResponse": "ChatCompletion"},
    "completions": {"CompletionChunk": "CompletionChunk", "CompletionResponse": "Completion"},
    "embeddings": {"EmbeddingResponse": "EmbeddingResponse"},
    "endpoints": {"Autoscaling": "Autoscaling", "DedicatedEndpoint": "Endpoint", "ListEndpoint": "Endpoint"},
    "evaluation": {name: name for name in ("EvaluationCreateResponse", "EvaluationJob", "EvaluationStatusResponse")},
    "files": {name: name for name in ("FileDeleteResponse", "FileList", "FileObject", "FileResponse")},
    "fine_tuning": {
        "FinetuneCheckpoint": "FinetuneCheckpoint",
        "FinetuneDeleteResponse": "FinetuneDeleteResponse",
        "FinetuneDownloadResult": "FinetuneDownloadResult",
        "FinetuneEvent": "FinetuneEvent",
        "FinetuneList": "FinetuneList",
        "FinetuneListEvents": "FinetuneListEvents",
        "FinetunePriceEstimationResponse": "FinetunePriceEstimate",
        "FinetuneResponse": "FinetuneResponse",
        "FinetuneTrainingLimits": "FinetuneModelLimits",
    },
    "images": {"ImageResponse": "ImageResponse"},
    "models": {"ModelObject": "ModelObject", "ModelUploadResponse": "ModelUpload"},
    "rerank": {"RerankResponse": "RerankResponse"},
    "videos": {"CreateVideoResponse": "VideoJob", "VideoJob": "VideoJob"},
}
_VALUES: Final = {
    "AudioLanguage": "language='en'",
    "AudioResponseEncoding": "response_encoding='pcm_s16le'",
    "AudioResponseFormat": "response_format='mp3'",
    "AudioTimestampGranularities": "timestamp_granularities='word'",
    "AudioTranscriptionResponseFormat": "response_format='verbose_json'",
    "BatchEndpoint": "endpoint='/v1/chat/completions'",
    "BatchJobStatus": "job.status == 'COMPLETED'",
    "DownloadCheckpointType": "checkpoint_type='merged'",
    "EvaluationStatus": "job.status == 'completed'",
    "EvaluationType": "type='classify'",
    "FilePurpose": "purpose='fine-tune'",
    "FileType": "file.FileType == 'jsonl'",
    "FinetuneEventLevels": "event.level == 'info'",
    "FinetuneEventType": "event.type == 'JOB_COMPLETE'",
    "FinetuneJobStatus": "job.status == 'completed'",
    "FinishReason": "choice.finish_reason == 'stop'",
    "MessageRole": "'role': 'user'",
    "ModelType": "model.type == 'chat'",
}
"""Enumerations, each with a use of it: they are strings here."""

_PARAMETERS: Final = {
    **dict.fromkeys(("ClassifyParameters", "CompareParameters", "ScoreParameters"), "evaluation.create"),
    **dict.fromkeys(("EvaluationRequest", "JudgeModelConfig", "ModelRequest"), "evaluation.create"),
    **dict.fromkeys(("CosineLRScheduler", "CosineLRSchedulerArgs", "FinetuneLRScheduler"), "fine_tuning.create"),
    **dict.fromkeys(("LinearLRScheduler", "LinearLRSchedulerArgs", "FinetuneMultimodalParams"), "fine_tuning.create"),
    **dict.fromkeys(("FullTrainingType", "LoRATrainingType", "TrainingType", "FinetuneRequest"), "fine_tuning.create"),
    **dict.fromkeys(("TrainingMethodDPO", "TrainingMethodSFT"), "fine_tuning.create"),
    "AudioSpeechRequest": "audio.speech.create",
    "AudioTranscriptionRequest": "audio.transcriptions.create",
    "AudioTranslationRequest": "audio.translations.create",
    "ChatCompletionRequest": "chat.completions.create",
    "CompletionRequest": "completions.create",
    "CreateVideoBody": "videos.create",
    "EmbeddingRequest": "embeddings.create",
    "FileRequest": "files.upload",
    "FinetunePriceEstimationRequest": "fine_tuning.estimate_price",
    "ImageRequest": "images.generate",
    "ModelUploadRequest": "models.upload",
    "RerankRequest": "rerank.create",
    "TogetherRequest": "request",
}
"""Classes of requests, and the method that takes what they held."""


def old_type(name: str) -> Any:
    """Returns the class that was called so.

    Raises:
        ImportError: There is none, and what it was for is written otherwise; not an AttributeError, whose text an import would drop.
        AttributeError: Neither SDK has it.
    """
    for module, names in _CLASSES.items():
        if name in names:
            return getattr(import_module(f"{_TYPES}.{module}"), names[name])
    if name in _VALUES:
        raise ImportError(f"together_adapters has no {name}, as its values are plain strings: {_VALUES[name]}")
    if name in _PARAMETERS:
        raise ImportError(f"together_adapters has no {name}: pass its values to client.{_PARAMETERS[name]}, objects as dicts")
    if name == "TogetherClient":
        raise ImportError("together_adapters.types has no TogetherClient: from together_adapters import Together")
    raise AttributeError(f"module {_TYPES!r} has no attribute {name!r}; its classes are in modules, one for each resource")
