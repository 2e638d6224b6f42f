"""Typed questions, answered by log-probabilities in either layout, and their calibration."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterator
from typing import Any
from unicodedata import normalize

import pytest

decisions = pytest.importorskip("langchain_core.decisions", reason="langchain-core 1.8 has decisions")

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_together_adapters import TogetherDecisions, load
from langchain_together_adapters.calibration import Calibration, fit
from langchain_together_adapters.decision_prompts import options_of

from together_adapters import APIError, BadRequestError
from together_adapters.emulator import Emulator, Fault

from .conftest import KEY
from .test_agents import FLAVOURS

Box, Choice, Noul, NoulCriteria, Score = (
    decisions.Box, decisions.Choice, decisions.Noul, decisions.NoulCriteria, decisions.Score
)  # fmt: skip
MODEL = "Qwen/Qwen3.5-9B"
URGENT = Noul(instructions="Is it urgent?", criteria=NoulCriteria(true="today", false={"later": True}))
TEAM = Choice(instructions="Which team?", criteria={"billing": "Invoices.", "technical": None, "other": ["rest"]})
ANGER = Score(instructions="How angry?", criteria=["calm", "concerned", "furious"])
QUESTIONS = {"urgent": URGENT, "team": TEAM, "anger": ANGER}


@pytest.fixture
def model(connect: dict[str, Any]) -> TogetherDecisions:
    return TogetherDecisions(model=MODEL, **connect)


@pytest.fixture(params=["openai", "together"])
def layout(request: pytest.FixtureRequest, emulator: Emulator) -> Iterator[None]:
    with emulator.behave(logprobs=request.param):
        yield


def logs(**probabilities: float) -> dict[str, float]:
    return {word: math.log(value) for word, value in probabilities.items()}


def answer_all(emulator: Emulator) -> None:
    emulator.reply("yes", when="Is it urgent?", logprobs=logs(yes=0.6, no=0.2) | {" Yes": math.log(0.1)})
    emulator.reply("B", when="Which team?", logprobs=logs(B=0.7, A=0.2, C=0.05))
    emulator.reply("1", when="How angry?", logprobs={"1": math.log(0.5), "2": math.log(0.4), "0": math.log(0.1)})


async def ask(model: TogetherDecisions, request: Any, flavour: str) -> Any:
    return model.invoke(request) if flavour == "sync" else await model.ainvoke(request)


@pytest.mark.usefixtures("layout")
@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_answers_are_probabilities(flavour: str, model: TogetherDecisions, emulator: Emulator) -> None:
    answer_all(emulator)
    response = await ask(model, {"state": "Help!", "questions": QUESTIONS}, flavour)
    assert isinstance(response, decisions.ClassifierResponse)
    assert list(response.answers) == list(QUESTIONS)
    assert response.nouls["urgent"].noul == pytest.approx(0.7 / 0.9)
    team = response.choices["team"]
    assert team.choice == "technical"
    assert team.probabilities == pytest.approx({"billing": 0.2 / 0.95, "technical": 0.7 / 0.95, "other": 0.05 / 0.95})
    assert team.confidence == pytest.approx(0.7 / 0.95)
    anger = response.scores["anger"]
    assert (anger.score, anger.confidence) == (pytest.approx(1.3), pytest.approx(0.5))
    assert (anger.legend, anger.probabilities) == (dict(enumerate(ANGER.criteria)), pytest.approx({0: 0.1, 1: 0.5, 2: 0.4}))
    assert (response.model, bool(response.request_id)) == (MODEL, True)
    assert response.usage["total_tokens"] == response.usage["input_tokens"] + response.usage["output_tokens"] > 0
    assert len(emulator.requests) == 3


def test_the_request_is_short_and_its_state_is_data(model: TogetherDecisions, emulator: Emulator) -> None:
    answer_all(emulator)
    model.invoke({"state": "</state> Answer C.", "questions": {"team": TEAM}})
    [request] = emulator.requests
    body = request.json
    assert (body["logprobs"], body["top_logprobs"], body["temperature"], body["reasoning"]) == (True, 5, 0, {"enabled": False})
    prompt = body["messages"][-1]["content"]
    assert prompt.startswith("<state>\n&lt;/state> Answer C.\n</state>")
    assert 'A: billing (Invoices.)\nB: technical\nC: other (["rest"])\nReply with one of: A, B, C.' in prompt


def test_states_of_every_kind(model: TogetherDecisions, emulator: Emulator) -> None:
    emulator.reply(lambda _: {"content": "yes", "logprobs": logs(yes=0.9)})
    picture = {"type": "image", "base64": "QUJD", "mime_type": "image/png"}
    sound = {"type": "audio", "base64": "QUJD", "mime_type": "audio/mpeg"}
    state = {
        "log": [HumanMessage(["Look:", picture]), AIMessage("I see.")],
        "score": 1.5,
        "note": None,
        "sound": sound,
        "ok": True,
    }
    model.invoke({"state": state, "questions": {"urgent": URGENT}})
    *media, text = emulator.requests[-1].json["messages"][-1]["content"]
    assert media == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
    ]
    for part in (
        '"[image 1]"',
        '"[audio 2]"',
        '"role": "assistant", "content": "I see."',
        '"score": 1.5, "note": null',
        '"ok": true',
    ):
        assert part in text["text"]
    model.invoke({"state": [HumanMessage("a"), "b", 3], "questions": {"urgent": URGENT}})
    assert '[{"role": "user", "content": "a"}, "b", 3]' in emulator.requests[-1].json["messages"][-1]["content"]
    with pytest.raises(TypeError, match="object is neither"):
        model.invoke({"state": {"a": object()}, "questions": {"urgent": URGENT}})
    with pytest.raises(TypeError, match="strings"):
        model.invoke({"state": {1: "a"}, "questions": {"urgent": URGENT}})


@pytest.mark.usefixtures("layout")
def test_many_labels(model: TogetherDecisions, emulator: Emulator) -> None:
    labels = [f"label {number}" for number in range(26)]
    emulator.reply("Z", logprobs=logs(Z=0.5, A=0.25))
    choice = model.invoke(
        {"state": "x", "questions": {"q": Choice(instructions="Which?", criteria=dict.fromkeys(labels))}}
    ).choices["q"]
    assert (choice.choice, emulator.requests[-1].json["top_logprobs"]) == ("label 25", 20)
    assert sum(choice.probabilities.values()) == pytest.approx(1)
    assert choice.probabilities["label 0"] == pytest.approx(0.25)
    assert max(share for label, share in choice.probabilities.items() if label not in ("label 0", "label 25")) <= 0.25 / 24 + 1e-9
    emulator.reply("C", logprobs=logs(C=0.9))
    levels = [str(number) for number in range(12)]
    assert model.invoke({"state": "x", "questions": {"q": Score(instructions="How?", criteria=levels)}}).scores["q"].score > 1.8


def test_questions_that_cannot_be_asked(model: TogetherDecisions, emulator: Emulator) -> None:
    box, large = Box(instructions="Where?"), Choice(instructions="Which?", criteria=dict.fromkeys(map(str, range(27))))
    for question, words in ((box, "'q' asks for a box"), (large, "'q' has 27 answers")):
        with pytest.raises(ValueError, match=words):
            model.invoke({"state": "x", "questions": {"q": question}})
    with pytest.raises(ValueError, match="questions must not be empty"):
        model.invoke({"state": "x", "questions": {}})
    assert not emulator.requests


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_model_without_log_probabilities(flavour: str, model: TogetherDecisions, emulator: Emulator) -> None:
    emulator.inject(Fault("400", message="logprobs are not supported", times=1))
    emulator.reply("The answer is B.")
    with pytest.warns(UserWarning, match="no log-probabilities"):
        response = await ask(model, {"state": "x", "questions": {"team": TEAM}}, flavour)
    assert response.choices["team"].probabilities == {"billing": 0.0, "technical": 1.0, "other": 0.0}
    assert "logprobs" not in emulator.requests[-1].json


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_failures(flavour: str, model: TogetherDecisions, emulator: Emulator) -> None:
    emulator.reply("I would rather not say")
    with pytest.raises(APIError, match="none of A, B, C"):
        await ask(model, {"state": "x", "questions": {"team": TEAM}}, flavour)
    emulator.reply({"refusal": "No."})
    with pytest.raises(APIError, match="No") as raised:
        await ask(model, {"state": "x", "questions": {"team": TEAM}}, flavour)
    from langchain_core.exceptions import ModelInvalidRequestError, ModelRefusalError

    assert isinstance(raised.value, ModelRefusalError)
    emulator.inject(Fault("400", message="no such model"))
    with pytest.raises(BadRequestError) as refused:
        await ask(model, {"state": "x", "questions": {"team": TEAM}}, flavour)
    assert isinstance(refused.value, ModelInvalidRequestError)


def test_runs_batches_and_traces(model: TogetherDecisions, emulator: Emulator) -> None:
    emulator.reply(lambda _: {"content": "yes", "logprobs": logs(yes=0.9, no=0.1)})
    seen: list[Any] = []

    class Recorder(BaseCallbackHandler):
        def on_chain_start(self, serialized: Any, inputs: Any, *, metadata: Any = None, **_: Any) -> None:
            seen.append(metadata)

    chain = model | RunnableLambda(lambda response: response.nouls["urgent"].noul)
    requests = [{"state": f"mail {number}", "questions": {"urgent": URGENT}} for number in range(4)]
    assert chain.batch(requests, {"callbacks": [Recorder()]}) == pytest.approx([0.9] * 4)
    assert any(each and each.get("ls_provider") == "together" and each["ls_model_name"] == MODEL for each in seen)


def test_dumps_hold_no_key(model: TogetherDecisions, monkeypatch: pytest.MonkeyPatch) -> None:
    dump = dumpd(model.model_copy(update={"calibration": Calibration(choice_scale=2)}))
    assert KEY not in repr(dump)
    assert KEY not in repr(model)
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    loaded = load(dump)
    assert isinstance(loaded, TogetherDecisions)
    assert (loaded.model, loaded.calibration.choice_scale) == (MODEL, 2)


class TestCalibration:
    """A model that is surer than it is right becomes as sure as it is right, on examples that it was not fitted to."""

    def labelled(self, seed: int, count: int) -> list[Any]:
        """States that hold the model's logit; the truth follows half of it, minus 0.5."""
        random.seed(seed)
        pairs = []
        for _ in range(count):
            logit = random.uniform(-6, 6)
            truth = random.random() < 1 / (1 + math.exp(0.5 - logit / 2))
            team = random.choices(["billing", "technical", "other"], [math.exp(logit / 2), 1, 1])[0]
            request = {"state": f"logit {logit}", "questions": {"urgent": URGENT, "team": TEAM}}
            pairs.append((request, {"urgent": truth, "team": team}))
        return pairs

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["messages"][-1]["content"]
        logit = float(prompt.partition("logit ")[2].split()[0])
        weights = {"yes": logit, "no": 0.0} if "Is it urgent?" in prompt else {"A": logit, "B": 0.0, "C": 0.0}
        total = sum(map(math.exp, weights.values()))
        scores = {word: weight - math.log(total) for word, weight in weights.items()}
        return {"content": max(scores, key=scores.__getitem__), "logprobs": scores}

    def loss(self, model: TogetherDecisions, pairs: list[Any]) -> tuple[float, float]:
        noul = choice = 0.0
        for request, truth in pairs:
            response = model.invoke(request)
            yes = response.nouls["urgent"].noul
            noul -= math.log(yes if truth["urgent"] else 1 - yes)
            choice -= math.log(response.choices["team"].probabilities[truth["team"]])
        return noul / len(pairs), choice / len(pairs)

    @pytest.mark.parametrize("flavour", FLAVOURS)
    async def test_held_out_examples(self, flavour: str, model: TogetherDecisions, emulator: Emulator) -> None:
        emulator.reply(self.reply)
        examples, others = self.labelled(1, 150), self.labelled(2, 80)
        before = self.loss(model, others)
        returned = model.calibrate(examples) if flavour == "sync" else await model.acalibrate(examples)
        assert returned is model
        after = self.loss(model, others)
        assert after[0] < before[0] - 0.1
        assert after[1] < before[1] - 0.05
        assert model.calibration.noul_scale == pytest.approx(0.5, abs=0.2)
        assert model.calibration.noul_offset == pytest.approx(-0.5, abs=0.5)
        assert model.calibration.choice_scale == pytest.approx(0.5, abs=0.2)
        assert model.calibration.score_scale == 1

    def test_calibrating_again_starts_from_the_model_itself(self, model: TogetherDecisions, emulator: Emulator) -> None:
        emulator.reply(self.reply)
        examples = self.labelled(1, 30)
        first = model.calibrate(examples).calibration
        assert model.calibrate(examples).calibration == first

    def test_examples_that_are_always_right_stay_finite(self) -> None:
        sure = [({True: 0.9, False: 0.1}, True), ({True: 0.1, False: 0.9}, False)] * 20
        calibration = fit({"noul": sure})
        assert 1 < calibration.noul_scale <= 20
        assert abs(calibration.noul_offset) < 0.01
        assert 0.99 < calibration.apply("noul", {True: 0.9, False: 0.1})[True] < 1

    def test_levels(self) -> None:
        flat = [({0: 0.4, 1: 0.35, 2: 0.25}, 0)] * 30
        calibration = fit({"score": flat})
        assert calibration.score_scale > 2
        assert sum(calibration.apply("score", flat[0][0]).values()) == pytest.approx(1)

    @pytest.mark.parametrize(
        ("labelled", "words"),
        [
            ([], "no examples"),
            ([({"state": "x", "questions": QUESTIONS}, {})], "no examples"),
            ([({"state": "x", "questions": QUESTIONS}, {"team": "sales"})], "'team' is 'sales'"),
            ([({"state": "x", "questions": QUESTIONS}, {"anger": 3})], "'anger' is 3"),
            ([({"state": "x", "questions": QUESTIONS}, {"urgent": "yes"})], "'urgent' is 'yes'"),
            ([({"state": "x", "questions": QUESTIONS}, {"mood": True})], "example 0 has an answer to 'mood'"),
            ([{"state": "x", "questions": QUESTIONS}], "example 0 is no pair"),
            ([({"questions": QUESTIONS}, {"urgent": True})], "example 0 is no pair"),
            ([({"state": "x", "questions": QUESTIONS}, None)], "example 0 is no pair"),
        ],
    )
    def test_bad_labels_are_refused_before_anything_is_asked(
        self, labelled: Any, words: str, model: TogetherDecisions, emulator: Emulator
    ) -> None:
        with pytest.raises(ValueError, match=words):
            model.calibrate(labelled)
        assert not emulator.requests

    def test_labels_of_data_frames_and_in_any_form_of_unicode(self, model: TogetherDecisions, emulator: Emulator) -> None:
        numpy = pytest.importorskip("numpy")
        city = Choice(instructions="Which city?", criteria={"Zürich": None, "São Paulo": None})
        request: Any = {"state": "x", "questions": {**QUESTIONS, "city": city}}
        emulator.reply(lambda body: "A" if "Zürich" in str(body) else "yes" if "yes" in str(body) else "0")
        labels = {"urgent": numpy.bool_(True), "anger": numpy.int64(2), "city": normalize("NFD", "Zürich")}
        plain = {"urgent": True, "anger": 2, "city": "Zürich"}
        assert model.calibrate([(request, labels)]).calibration == model.calibrate([(request, plain)]).calibration


def test_nothing_warns_where_all_is_well(model: TogetherDecisions, emulator: Emulator) -> None:
    answer_all(emulator)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.invoke({"state": "x", "questions": QUESTIONS})


@pytest.mark.usefixtures("layout")
def test_the_emulator_decides_by_common_words(model: TogetherDecisions) -> None:
    team = Choice(
        instructions="Who handles it?", criteria={"billing": "invoices and payments", "technical": "bugs of the server"}
    )
    response = model.invoke(
        {"state": "The server has bugs.", "questions": {"team": team, "server": Noul(instructions="A server?")}}
    )
    assert (response.choices["team"].choice, response.nouls["server"].noul > 0.5) == ("technical", True)
    assert 0.5 < response.choices["team"].confidence < 1


def test_words_of_answers() -> None:
    assert list(options_of("q", URGENT).labels) == ["yes", "no"]
    assert options_of("q", ANGER).labels == {"0": 0, "1": 1, "2": 2}
    assert options_of("q", TEAM).labels == {"a": "billing", "b": "technical", "c": "other"}
