"""The vendor's SDKs and OpenAI's work with the emulator: images, audio, videos, code, endpoints, uploads."""

from __future__ import annotations

from pathlib import Path

from tests.foreign.driving import drive, python_with
from together_adapters.emulator import Emulator

TOGETHER_3 = """
import asyncio, base64, os, time, wave
from together import AsyncTogether, NotFoundError, Together

client = Together(api_key="k", base_url=os.environ["ROOT"])
FLUX = "black-forest-labs/FLUX.1-schnell"

image = client.images.generate(model=FLUX, prompt="a cat", response_format="base64", n=2)
assert [one.type for one in image.data] == ["b64_json"] * 2 and base64.b64decode(image.data[0].b64_json)[:2] == b"\\xff\\xd8"
assert client.images.generate(model=FLUX, prompt="a cat", output_format="png").data[0].url.endswith(".png")

speech = client.audio.speech.create(model="cartesia/sonic", input="Good morning to you.", voice="laidback woman")
speech.write_to_file("speech.wav")
assert wave.open("speech.wav").getnframes() > 0
with client.audio.speech.with_streaming_response.create(model="cartesia/sonic", input="Hi.", voice="x") as reply:
    reply.stream_to_file("two.wav")
assert wave.open("two.wav").getframerate() == 44100
chunks = list(client.audio.speech.create(model="hexgrad/Kokoro-82M", input="Good morning.", voice="af_heart", stream=True,
                                         response_format="raw"))
assert chunks[0].object == "audio.tts.chunk" and b"".join(base64.b64decode(chunk.b64) for chunk in chunks)

with open("speech.wav", "rb") as file:
    assert client.audio.transcriptions.create(file=file).text == "Good morning to you."
with open("speech.wav", "rb") as file:
    told = client.audio.transcriptions.create(file=file, response_format="verbose_json", diarize=True,
                                              timestamp_granularities=["word", "segment"])
assert told.words[0].word == "Good" and told.segments[0].end > 0 and told.speaker_segments[0].speaker_id == "SPEAKER_00"
with open("speech.wav", "rb") as file:
    assert client.audio.translations.create(file=file, language="de", response_format="verbose_json").task == "translate"
voices = client.audio.voices.list().data
assert voices[0].voices[0].name

job = client.videos.create(model="minimax/video-01-director", prompt="a cat", seconds="2", width=640, height=480)
while job.status not in ("completed", "failed"):
    time.sleep(0.2)
    job = client.videos.retrieve(job.id)
assert job.outputs.video_url and job.size == "640x480" and job.seconds == "2"
try:
    client.videos.retrieve("nothing")
except NotFoundError:
    pass
else:
    raise AssertionError("a video that does not exist")

async def later():
    async with AsyncTogether(api_key="k", base_url=os.environ["ROOT"]) as client:
        assert (await client.images.generate(model=FLUX, prompt="a cat")).data[0].url
        assert await (await client.audio.speech.create(model="cartesia/sonic", input="Hi.", voice="x")).read()
        stream = await client.audio.speech.create(model="cartesia/sonic", input="Hi.", voice="x", stream=True)
        assert [chunk async for chunk in stream]
        assert (await client.videos.create(model="a/video", prompt="a dog")).id
        assert (await client.audio.voices.list()).data[0].voices[0].name
        with open("speech.wav", "rb") as file:
            assert (await client.audio.transcriptions.create(file=file)).text == "Good morning to you."
        with open("speech.wav", "rb") as file:
            assert (await client.audio.translations.create(file=file)).text
asyncio.run(later())
"""

TOGETHER_1 = """
import asyncio, os, time, wave
from together import AsyncTogether, Together

client = Together(api_key="k", base_url=os.environ["BASE"])
image = client.images.generate(prompt="a cat", model="black-forest-labs/FLUX.1-schnell", steps=4, response_format="base64")
assert image.data[0].b64_json

client.audio.speech.create(model="hexgrad/Kokoro-82M", input="Good morning to you.", voice="af_heart").stream_to_file("one.wav")
assert wave.open("one.wav").getframerate() == 24000
client.audio.speech.create(model="hexgrad/Kokoro-82M", input="Hi.", voice="af_heart", stream=True).stream_to_file("two.wav")
assert wave.open("two.wav").getnframes() > 0
client.audio.speech.create(model="cartesia/sonic", input="Hi.", voice="x", response_format="mp3").stream_to_file("three.mp3")

assert client.audio.transcriptions.create(file="one.wav").text == "Good morning to you."
told = client.audio.transcriptions.create(file="one.wav", response_format="verbose_json", timestamp_granularities="word", diarize=True)
assert told.words[0].word == "Good" and told.speaker_segments
assert "talk.mp3" in client.audio.transcriptions.create(file="https://example.org/talk.mp3").text
assert client.audio.translations.create(file="one.wav", response_format="verbose_json").task == "translate"
assert client.audio.voices.list().data[0].voices[0]["name"]

job = client.videos.create(model="a/video", prompt="a cat", seconds="2")
while (now := client.videos.retrieve(job.id)).status not in ("completed", "failed"):
    time.sleep(0.2)
assert now.outputs.video_url

ran = client.code_interpreter.run(code="print(1 + 1)", language="python", files=[{"name": "a", "encoding": "string", "content": "x"}])
assert ran.data.session_id and ran.data.outputs[0].type == "error" and "--allow-code-execution" in ran.data.outputs[0].data

made = client.endpoints.create(model="a/b", hardware="1x_nvidia_h100_80gb_sxm", min_replicas=1, max_replicas=2, display_name="mine")
assert client.endpoints.get(made.id).display_name == "mine"
assert client.endpoints.update(made.id, max_replicas=3).autoscaling.max_replicas == 3
assert client.endpoints.update(made.id, state="STOPPED").state == "STOPPING"
assert [one.id for one in client.endpoints.list(type="dedicated", mine=True)].count(made.id) == 1
assert client.endpoints.list(type="serverless")
assert client.endpoints.list_hardware()[0].availability is None and client.endpoints.list_hardware("a/b")[0].availability.status
assert client.endpoints.list_avzones()
client.endpoints.delete(made.id)
assert made.id not in [one.id for one in client.endpoints.list()]
assert client.models.upload(model_name="m", model_source="org/repo").job_id

async def later():
    client = AsyncTogether(api_key="k", base_url=os.environ["BASE"])
    assert (await client.images.generate(prompt="a cat", model="black-forest-labs/FLUX.1-schnell")).data[0].url
    assert (await client.audio.transcriptions.create(file="one.wav")).text == "Good morning to you."
    assert (await client.videos.create(model="a/video", prompt="a dog")).id
    await client.audio.speech.create(model="hexgrad/Kokoro-82M", input="Hi.", voice="af_heart")
    assert (await client.audio.translations.create(file="one.wav")).text
    assert (await client.audio.voices.list()).data[0].voices[0]["name"]
    assert (await client.models.upload(model_name="m", model_source="org/repo")).job_id
    assert client.code_interpreter.run(code="print(1 + 1)", language="python").data.session_id
asyncio.run(later())
"""

OPENAI = """
import base64, os, time, wave
from openai import OpenAI

client = OpenAI(api_key="k", base_url=os.environ["BASE"])
image = client.images.generate(model="black-forest-labs/FLUX.1-schnell", prompt="a cat", size="512x512", response_format="b64_json")
assert base64.b64decode(image.data[0].b64_json)
client.audio.speech.create(model="hexgrad/Kokoro-82M", input="Good morning to you.", voice="alloy", response_format="wav").write_to_file("one.wav")
assert wave.open("one.wav").getframerate() == 24000
with client.audio.speech.with_streaming_response.create(model="hexgrad/Kokoro-82M", input="Hi.", voice="alloy", response_format="pcm") as reply:
    assert b"".join(reply.iter_bytes())
with open("one.wav", "rb") as file:
    assert client.audio.transcriptions.create(file=file, model="openai/whisper-large-v3").text == "Good morning to you."
with open("one.wav", "rb") as file:
    told = client.audio.transcriptions.create(file=file, model="openai/whisper-large-v3", response_format="verbose_json",
                                              timestamp_granularities=["word", "segment"])
assert told.words[0].word == "Good" and told.segments[0].text
with open("one.wav", "rb") as file:
    assert client.audio.translations.create(file=file, model="openai/whisper-large-v3").text

videos = OpenAI(api_key="k", base_url=os.environ["ROOT"] + "/v2").videos
job = videos.create(model="openai/sora-2", prompt="a cat", seconds="4", size="1280x720")
while job.status not in ("completed", "failed"):
    time.sleep(0.2)
    job = videos.retrieve(job.id)
assert job.status == "completed" and job.size == "1280x720"
"""


def test_together_3(emulator: Emulator, tmp_path: Path) -> None:
    drive(python_with("together", "3", "TOGETHER_SDK_PYTHON_3"), TOGETHER_3, emulator, tmp_path)


def test_together_1(emulator: Emulator, tmp_path: Path) -> None:
    drive(python_with("together", "1", "TOGETHER_SDK_PYTHON_1"), TOGETHER_1, emulator, tmp_path)


def test_openai(emulator: Emulator, tmp_path: Path) -> None:
    drive(python_with("openai", "", "OPENAI_SDK_PYTHON"), OPENAI, emulator, tmp_path)
