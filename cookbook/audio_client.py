# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Let a text be spoken, and write down what was said: audio out and in with the plain client.

You learn which voices there are; how to stream speech, so that it is heard before it is complete; how to keep it as a WAV file; and
how to transcribe a recording with the time of each word, as subtitles need it.

It prints when the first sound came, the words with their times, and the words that the transcription has and the text has not, or the
other way round: a measure of voice and ears together.

With `TOGETHER_API_KEY` set, it sends four requests: a list, twice 150 characters to speak, and 10 seconds to transcribe (the service's page
of prices says what they cost; the models were not tried with a key). Without a key, it runs on the emulator, whose voice is a row of
beeps that only its own ears understand, and costs nothing.

    uv run cookbook/audio_client.py --text "The train leaves at nine." --output train.wav
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from difflib import SequenceMatcher
from pathlib import Path

import session

from together_adapters import Together
from together_adapters.types.audio import Word

SPEAKER, LISTENER = "hexgrad/Kokoro-82M", "openai/whisper-large-v3"
TEXT = (
    "The train to Turin leaves at nine from platform four. Please mind the gap between the train and the platform. "
    "The dining car is closed today."
)


# %% Out
def choose_voice(client: Together, model: str) -> str | None:
    """Prints the voices of a model; returns the first, or None for the model's own."""
    entries = client.audio.voices.list(model=model).data
    names = [str(voice.name) for entry in entries if entry.model == model for voice in entry.voices or ()]
    print(f"Voices:   {', '.join(names[:4]) or 'none are listed'}{', ...' if len(names) > 4 else ''}")
    return names[0] if names else None


def speak(client: Together, text: str, voice: str | None, path: Path) -> None:
    """Streams speech to a file. A player would take `chunk.audio`, samples of 16 bits, as soon as it comes."""
    start, first, samples = time.perf_counter(), 0.0, bytearray()
    with client.audio.speech.create(model=SPEAKER, input=text, voice=voice, stream=True) as chunks:
        for chunk in chunks:
            first = first or time.perf_counter() - start
            samples += chunk.audio
    print(f"Stream:   first sound after {first:.2f} s, {len(samples):,} bytes after {time.perf_counter() - start:.2f} s")
    client.audio.speech.create(model=SPEAKER, input=text, voice=voice, response_format="wav").stream_to_file(path)
    print(f"File:     {path.name}, {path.stat().st_size:,} bytes")


# %% In
def listen(client: Together, path: Path) -> tuple[str, list[Word]]:
    """Returns the text of a recording, and its words with their times."""
    heard = client.audio.transcriptions.create(
        file=path, model=LISTENER, language="en", response_format="verbose_json", timestamp_granularities=["segment", "word"]
    )
    print(f"Heard:    {heard.duration:.1f} s, {len(heard.segments or [])} segments, {len(heard.words or [])} words\n")
    for segment in heard.segments or []:
        print(f"{segment.start or 0:>6.2f} - {segment.end or 0:>6.2f}  {(segment.text or '').strip()}")
    return heard.text or "", heard.words or []


def compare(text: str, heard: str) -> None:
    """Prints the words that differ; spelling and punctuation of a transcription are its own."""
    written, spoken = (re.findall(r"[\w']+", words.lower()) for words in (text, heard))
    matcher = SequenceMatcher(None, written, spoken, autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    print(f"\n{same} of {len(written)} words are as they were written")
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind != "equal":
            print(f"  written {' '.join(written[a:b]) or '-'!r}, heard {' '.join(spoken[c:d]) or '-'!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Speak a text, and transcribe it.")
    parser.add_argument("--text", default=TEXT, help="what is spoken (default: an announcement)")
    parser.add_argument("--output", type=Path, help="a new file for the speech, .wav; without it, it is deleted")
    arguments = parser.parse_args()
    if not arguments.text.strip():
        parser.error("--text must not be empty")
    if arguments.output and arguments.output.exists():
        parser.error(f"{arguments.output} exists")
    with session.connect("The client: speech, and what was heard") as run, tempfile.TemporaryDirectory() as folder:
        path = arguments.output or Path(folder, "speech.wav")
        print(f"Models:   {SPEAKER} speaks, {LISTENER} listens")
        speak(run.client, arguments.text, choose_voice(run.client, SPEAKER), path)
        heard, words = listen(run.client, path)
        compare(arguments.text, heard)
        if words:
            longest = max(words, key=lambda word: (word.end or 0) - (word.start or 0))
            print(f"The longest word: {longest.word!r}, from {longest.start:.2f} to {longest.end:.2f} s")
        print(f"{run.requests} requests")


if __name__ == "__main__":
    main()
