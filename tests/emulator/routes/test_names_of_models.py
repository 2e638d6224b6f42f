"""Names of models as newcomers get them wrong, at every endpoint that takes one, from clients of both flavours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.routing import Route

from tests.conftest import Flavour, eventually
from together_adapters import BadRequestError, NotFoundError, TogetherError
from together_adapters.emulator import Behaviour, Emulator, serve
from together_adapters.emulator.app import create_app

pytestmark = pytest.mark.filterwarnings("ignore::together_adapters.ModelRemovedWarning")

CHAT, EMBEDDING, RERANK = "openai/gpt-oss-120b", "BAAI/bge-base-en-v1.5", "Salesforce/Llama-Rank-V1"
IMAGE, VIDEO = "black-forest-labs/FLUX.1-schnell", "minimax/video-01-director"
SPEECH, EARS = "hexgrad/Kokoro-82M", "openai/whisper-large-v3"
KINDS = {
    CHAT: "a chat model", EMBEDDING: "an embedding model", RERANK: "a rerank model", IMAGE: "an image model",
    VIDEO: "a video model", SPEECH: "a speech model", EARS: "a transcription model",
}  # fmt: skip
HELLO = [{"role": "user", "content": "hello"}]
WAV = ("a.wav", b"RIFF")
SCORE: dict[str, Any] = {
    "type": "score", "judge_model_source": "serverless", "judge_system_template": "Judge.", "input_data_file_path": "file-none",
    "min_score": 0.0, "max_score": 1.0, "pass_threshold": 0.5,
}  # fmt: skip
ANSWERER: dict[str, Any] = {
    "model_source": "serverless", "system_template": "Answer.", "input_template": "{{a}}", "max_tokens": 5, "temperature": 0.5,
}  # fmt: skip
PREVIEW = {"training_file": "file-none"}
ENDPOINT: dict[str, Any] = {"hardware": "1x_nvidia_h100_80gb_sxm", "min_replicas": 1, "max_replicas": 1}

Call = Callable[[Any, str], Any]
CALLS: dict[str, tuple[Call, str]] = {  # what is asked of each path, and a model that it takes
    "/v1/chat/completions": (lambda client, model: client.chat.completions.create(model=model, messages=HELLO), CHAT),
    "/v1/completions": (lambda client, model: client.completions.create(model=model, prompt="hello"), CHAT),
    "/v1/embeddings": (lambda client, model: client.embeddings.create(model=model, input="hello"), EMBEDDING),
    "/v1/rerank": (lambda client, model: client.rerank.create(model=model, query="a", documents=["a"], method="rerank"), RERANK),
    "/v1/images/generations": (lambda client, model: client.images.generate(model=model, prompt="a cat", width=8, height=8), IMAGE),
    "/v2/videos": (lambda client, model: client.videos.create(model=model, prompt="a cat"), VIDEO),
    "/v1/audio/speech": (lambda client, model: client.audio.speech.create(model=model, input="Hi.", voice="a"), SPEECH),
    "/v1/audio/transcriptions": (lambda client, model: client.audio.transcriptions.create(model=model, file=WAV), EARS),
    "/v1/audio/translations": (lambda client, model: client.audio.translations.create(model=model, file=WAV), EARS),
    "/v1/fine-tunes": (lambda client, model: tune(client, model), CHAT),
    "/v1/fine-tunes/estimate-price": (
        lambda client, model: client.fine_tuning.estimate_price(model=model, training_file="file-none"), CHAT,
    ),
    "/v1/fine-tunes/preview": (
        lambda client, model: client.request("POST", "/v1/fine-tunes/preview", body={"model": model, **PREVIEW}), CHAT,
    ),
    "/v1/endpoints": (lambda client, model: client.endpoints.create(model=model, **ENDPOINT), EMBEDDING),
    "/v1/models": (lambda client, model: upload_adapter(client, model), CHAT),
    "/v1/evaluation": (lambda client, model: client.evaluation.create(judge_model=model, **SCORE), CHAT),
    "/v1/evaluation, the model to evaluate": (
        lambda client, model: client.evaluation.create(
            judge_model=CHAT, model_to_evaluate={"model": model, **ANSWERER}, **SCORE
        ), CHAT,
    ),
    "/v1/fine-tunes/models/limits": (lambda client, model: client.fine_tuning.model_limits(model), CHAT),
    "/v1/hardware": (lambda client, model: client.endpoints.list_hardware(model=model), EMBEDDING),
}  # fmt: skip
OF_ANY_KIND = {"/v1/endpoints", "/v1/hardware", "/v1/models"}
NO_FILE = {path for path in CALLS if path.startswith(("/v1/evaluation", "/v1/fine-tunes"))} - {"/v1/fine-tunes/models/limits"}
WITHOUT_MODELS = {
    "/v1/batches", "/v1/batches/{id}/cancel", "/v1/files", "/v1/fine-tunes/{id}/cancel", "/v1/tci/execute",
    "/v1/files/multipart/initiate", "/v1/files/multipart/complete", "/v1/files/multipart/abort", "/v1/files/upload",
    "/v1/files/{id}/preprocess",
}  # fmt: skip
"""Lines of batches are tested below; what belongs to projects names models by id."""


def tune(client: Any, model: str) -> Any:
    body = {"model": model, "training_file": "file-none"}
    return client.request("POST", "/v1/fine-tunes", body=body)


def upload_adapter(client: Any, model: str) -> Any:
    body = {"model_name": "mine", "model_source": "org/repo", "model_type": "adapter", "base_model": model}
    return client.request("POST", "/v1/models", body=body)


@pytest.fixture
def emulator(idle_emulator: Any) -> Iterator[Emulator]:
    emulator: Emulator = idle_emulator()
    emulator.reset()
    with emulator.behave(any_model=False):
        yield emulator
    emulator.reset()


def refusal(flavour: Flavour, call: Call, model: str) -> TogetherError | None:
    try:
        flavour.run(call(flavour.client(max_retries=0), model))
    except TogetherError as error:
        return error
    return None


def test_every_endpoint_that_takes_a_body_is_known_here(emulator: Emulator) -> None:
    routes = create_app(emulator._state).app.router.routes  # type: ignore[attr-defined]
    posts = {route.path for route in routes if isinstance(route, Route) and "POST" in (route.methods or ())}
    paths = {path.partition(",")[0] for path in CALLS}
    assert {path for path in posts - paths - WITHOUT_MODELS if not path.startswith(("/v2/projects/", "/uploads"))} == set()
    assert paths - posts == {"/v1/fine-tunes/models/limits", "/v1/hardware"}


def test_a_name_that_no_model_has(flavour: Flavour) -> None:
    for path, (call, _) in CALLS.items():
        error = refusal(flavour, call, "acme/imagined")
        assert isinstance(error, NotFoundError), path
        assert error.code == "model_not_available"
        assert "Unable to access model acme/imagined. " in error.message
        for way in ("serve(any_model=True)", "@pytest.mark.together(any_model=True)", "--any-model"):
            assert way in error.message


def test_advice_is_said_once(flavour: Flavour) -> None:
    create = CALLS["/v1/chat/completions"][0]
    error = refusal(flavour, create, "gpt-oss-120b")
    assert error is not None and error.message.partition(" (request id")[0] == (
        "404 from POST /v1/chat/completions: Unable to access model gpt-oss-120b. The nearest name is openai/gpt-oss-120b. "
        "The emulator takes any name with serve(any_model=True), @pytest.mark.together(any_model=True) or --any-model."
    )


def test_the_nearest_name_is_in_the_message(flavour: Flavour) -> None:
    for path, (call, model) in CALLS.items():
        for wrong in (model.rpartition("/")[2], model.lower() + "x", model[:-1]):
            error = refusal(flavour, call, wrong)
            assert error is not None and f"The nearest name is {model}." in error.message, (path, wrong, error)


def test_any_name_where_that_is_wanted(flavour: Flavour, emulator: Emulator) -> None:
    with emulator.behave(any_model=True):
        for path, (call, _) in CALLS.items():
            error = refusal(flavour, call, "imagined")
            assert error is None or (path in NO_FILE and "file-none" in error.message), (path, error)


def test_a_model_of_the_wrong_kind(flavour: Flavour, emulator: Emulator) -> None:
    for path, (call, right) in CALLS.items():
        for any_model in (False, True):
            emulator.behave(any_model=any_model)
            for model in KINDS.keys() - {right}:
                error = refusal(flavour, call, model)
                if path in OF_ANY_KIND:
                    assert error is None
                elif path.startswith("/v1/fine-tunes"):
                    assert isinstance(error, BadRequestError)
                    assert f"The model {model} cannot be fine-tuned: it is {KINDS[model]}. Models that can are " in error.message
                else:
                    assert isinstance(error, BadRequestError)
                    assert (
                        f"The model {model} is {KINDS[model]}, and this endpoint takes {KINDS[right]}, such as " in error.message
                    )
    emulator.behave(any_model=False)


def test_a_chat_model_still_ranks_through_the_client(flavour: Flavour) -> None:
    ranking = flavour.run(flavour.client().rerank.create(model=CHAT, query="otters", documents=["kilns", "otters"]))
    assert len(ranking.results) == 2


def test_lines_of_a_batch(flavour: Flavour, emulator: Emulator) -> None:
    client = flavour.client()
    bodies = {"good": CHAT, "wrong": EMBEDDING, "none": "acme/imagined"}
    lines = [{"custom_id": id, "body": {"model": model, "messages": HELLO}} for id, model in bodies.items()]
    content = "\n".join(map(json.dumps, lines)).encode()
    file = emulator._state.stores.files.generate("a.jsonl", "batch-api", content)
    batch = flavour.run(client.batches.create(file.id, "/v1/chat/completions"))

    def ended() -> bool:
        return str(flavour.run(client.batches.retrieve(batch.id)).status) == "COMPLETED"

    assert eventually(ended)
    batch = flavour.run(client.batches.retrieve(batch.id))
    content = flavour.run(client.files.content(batch.error_file_id))
    errors = {line["custom_id"]: line["error"]["message"] for line in map(json.loads, content.splitlines())}
    assert errors.keys() == {"wrong", "none"}
    assert "is an embedding model" in errors["wrong"] and "Unable to access model acme/imagined" in errors["none"]


def test_images_for_a_model_that_reads_text_alone(flavour: Flavour) -> None:
    client = flavour.client()
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
        {"type": "video_url", "video_url": {"url": "https://a.example/b.mp4"}},
        {"type": "audio_url", "audio_url": {"url": "https://a.example/b.wav"}},
    ]
    for part in parts:
        messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}]
        with pytest.raises(BadRequestError, match=f"{CHAT} reads text alone.*Qwen/Qwen3.5-9B"):
            flavour.run(client.chat.completions.create(model=CHAT, messages=messages))
        for model in ("Qwen/Qwen3.5-9B", "google/gemma-4-31B-it"):  # what the second sees, the vendor does not say
            assert flavour.run(client.chat.completions.create(model=model, messages=messages)).choices


def test_models_that_cannot_be_tuned(flavour: Flavour) -> None:
    client = flavour.client()
    with pytest.raises(BadRequestError, match=r"zai-org/GLM-5.3 cannot be fine-tuned. Models that can are zai-org/GLM-5.1, "):
        flavour.run(tune(client, "zai-org/GLM-5.3"))
    supported = flavour.run(client.request("GET", "/v1/fine-tunes/models/supported"))["models"]
    for model in supported:
        assert flavour.run(client.fine_tuning.model_limits(model)).model_name == model
        assert flavour.run(client.chat.completions.create(model=model, messages=HELLO)).model == model


def test_what_the_account_made_exists(flavour: Flavour) -> None:
    client = flavour.client()
    flavour.run(client.request("POST", "/v1/models", body={"model_name": "mine", "model_source": "org/repo"}))
    flavour.run(client.request("POST", "/v2/projects/p/endpoints", body={"name": "own"}))
    flavour.run(client.request("POST", "/v2/projects/p/models", body={"name": "base", "baseModelId": "x", "type": "adapter"}))
    endpoint = flavour.run(client.endpoints.create(model="emulated-user/mine", **ENDPOINT))
    for model in ("emulated-user/mine", "p/own", "p/base", endpoint.name):
        assert flavour.run(client.chat.completions.create(model=model, messages=HELLO)).choices
    with pytest.raises(NotFoundError, match="The nearest name is emulated-user/mine"):
        flavour.run(client.chat.completions.create(model="emulated-user/mime", messages=HELLO))


@pytest.mark.parametrize("behaviour", [None, Behaviour(strict=True)], ids=["default", "strict"])
def test_serve_says_which_names_it_takes(behaviour: Behaviour | None) -> None:
    from together_adapters import Together

    def ask(model: str, **options: Any) -> str:
        with serve(behaviour=behaviour, **options) as emulator, Together(base_url=emulator.base_url, api_key="any") as client:
            return str(client.chat.completions.create(model=model, messages=HELLO).model)

    assert ask("acme/small", any_model=True) == "acme/small"
    assert ask("acme/small", models=["acme/small"]) == "acme/small"
    assert ask("acme/small", models=["acme/other"], any_model=True) == "acme/small"
    with pytest.raises(NotFoundError):
        ask("acme/small")
    with pytest.raises(NotFoundError, match=r"The nearest name is acme/small. The emulator was started with acme/small, acme/b."):
        ask("acme/smal", models=["acme/small", "acme/b"])


def test_a_job_on_an_unknown_model_names_models_that_can_be_tuned(flavour: Any, emulator: Emulator) -> None:
    with pytest.raises(
        NotFoundError,
        match=r"^meta-llama/\S+ cannot be fine-tuned: client.*list_supported_models\(\) .*; of similar names: meta-llama/Llama-3.2-3B-Instruct, .* \(404 ",
    ) as error:
        flavour.run(flavour.client().fine_tuning.create(training_file="file-1", model="meta-llama/Llama-3.1-8B-Instruct"))
    assert "endpoints.create" not in error.value.message == str(error.value)
    with pytest.raises(
        NotFoundError, match=r"^gpt-4 cannot be fine-tuned: .* lists all models that can \(404 from the service\)$"
    ):
        flavour.run(flavour.client().fine_tuning.create(training_file="file-1", model="gpt-4"))
