"""`audio`, `videos` and `code`: results that are text or files."""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from together_adapters.cli.command import Group, Session
from together_adapters.cli.exit_codes import INVALID_DATA
from together_adapters.cli.ft.atomic_output import write_atomically
from together_adapters.cli.options import (
    COUNT,
    EXISTING_FILE,
    NEW_FILE,
    drop_unset,
    options,
    overwrite_option,
    read_text,
    wait_options,
)
from together_adapters.cli.output import Column, Result, Table, format_time
from together_adapters.cli.terminal import note, progress_bar, spinner, write
from together_adapters.errors import APIResponseValidationError
from together_adapters.types.audio_format import FORMATS

if TYPE_CHECKING:
    from together_adapters.types.code_interpreter import CodeOutput, ExecuteResponse
    from together_adapters.types.videos import VideoJob

_VOICES: Final = Table(Column("Model", 0), Column("Voice", 1), empty="No voices.")
_SESSIONS: Final = Table(
    Column("ID", "id", no_wrap=True),
    Column("Runs", "execute_count", right=True),
    Column("Started at", "started_at", format_time, drop=2),
    Column("Expires at", "expires_at", format_time, drop=1),
    empty="No sessions.",
)
_output_option = click.option("--output", type=NEW_FILE, required=True, metavar="FILE", help="File to write.")


@click.group("audio", cls=Group)
def audio() -> None:
    """Speech from text, and text from speech."""


@audio.command("speech")
@click.argument("text")
@click.option("--model", required=True, metavar="NAME", help="Speech model.")
@click.option("--voice", metavar="NAME", help="Voice; see audio voices.")
@click.option("--response-format", type=click.Choice(["mp3", "wav", "raw"]), help="Default: that of the suffix of the file.")
@click.option("--language", metavar="CODE", help="Language of the text.")
@click.option("--sample-rate", type=COUNT, metavar="HZ", help="Samples per second.")
@_output_option
@overwrite_option
def speech(session: Session, /, text: str, output: Path, overwrite: bool, response_format: str | None, **options: Any) -> Result:
    """Speak TEXT into a file; - reads it from stdin."""
    _check_new(output, overwrite)
    file_format = response_format or _format_of(output)
    with spinner("generating"):
        result = session.client.audio.speech.create(
            input=read_text(text), **drop_unset({**options, "response_format": file_format})
        )
    write_atomically(output, result.content, overwrite=overwrite)
    return _saved(output, content_type=result.content_type)


def _format_of(path: Path) -> str | None:
    """Returns the format of a file by its suffix; None without one, which leaves it to the service."""
    suffix = path.suffix.lower()
    if suffix and suffix not in FORMATS:
        raise click.UsageError(
            f"no speech has the format {suffix}: pass --response-format, or a file that ends in {', '.join(FORMATS)}"
        )
    return FORMATS.get(suffix)


_recording = options(
    click.argument("file"),
    click.option("--model", metavar="NAME", help="Transcription model."),
    click.option("--prompt", metavar="TEXT", help="Text that guides names and style."),
    click.option("--verbose", is_flag=True, help="Also times and language; printed with --json."),
)


@audio.command("transcribe")
@_recording
@click.option("--language", metavar="CODE", help="Spoken language. Default: detected.")
@click.option("--diarize", is_flag=True, help="Identify speakers; printed with --json.")
def transcribe(session: Session, /, **options: Any) -> Result:
    """Print the text of a recording: a file or a URL."""
    return _print_text(session.client.audio.transcriptions.create, "transcribing", **options)


@audio.command("translate")
@_recording
@click.option("--language", metavar="CODE", help="Language of the result. Default: English.")
def translate(session: Session, /, **options: Any) -> Result:
    """Print a translation of a recording: a file or a URL."""
    return _print_text(session.client.audio.translations.create, "translating", **options)


def _print_text(create: Callable[..., Any], activity: str, /, verbose: bool, **options: Any) -> Result:
    form = {"response_format": "verbose_json"} if verbose else {}
    with spinner(activity):
        result = create(**drop_unset(options), **form)
    return Result(result, lambda result: write(f"{result.text or ''}\n"))


@audio.command("voices")
@click.option("--model", metavar="NAME", help="Only voices of this model.")
def voices(session: Session, model: str | None) -> Result:
    """List voices."""
    result = session.client.audio.voices.list(model=model)
    rows = [(entry.model, voice.name or voice.id) for entry in result.data for voice in entry.voices]
    return Result(result, lambda _: _VOICES(rows))


@click.group("videos", cls=Group)
def videos() -> None:
    """Generate videos, which takes minutes and costs money."""


videos.add_call("retrieve", "Show the job of a video.", click.argument("id"))
videos.add_call("wait", "Wait until a video is complete.", click.argument("id"), wait_options(5.0), bar="job")


@videos.command("create")
@click.argument("prompt")
@click.option("--model", required=True, metavar="NAME", help="Video model.")
@click.option("--seconds", metavar="N", help="Duration.")
@click.option("--height", type=COUNT, metavar="PIXELS", help="Height.")
@click.option("--width", type=COUNT, metavar="PIXELS", help="Width.")
@click.option("--resolution", metavar="TEXT", help="Such as 720p, for models that take no pixels.")
@click.option("--ratio", metavar="TEXT", help="Such as 16:9, for the same models.")
@click.option("--fps", type=COUNT, metavar="N", help="Frames per second.")
@click.option("--steps", type=COUNT, metavar="N", help="Number of denoising steps.")
@click.option("--seed", type=int, metavar="N", help="Random seed.")
@click.option("--negative-prompt", metavar="TEXT", help="Description of what the video should not contain.")
@click.option("--output-format", type=click.Choice(["MP4", "WEBM"]), help="File format.")
@click.option("--output", type=NEW_FILE, metavar="FILE", help="Wait for the video and write it to a file.")
@overwrite_option
def create_video(session: Session, /, prompt: str, output: Path | None, overwrite: bool, **options: Any) -> Result:
    """Generate a video of PROMPT; - reads it from stdin. Prints the ID of its job, which --output waits for."""
    if output is not None:
        _check_new(output, overwrite)
    job = session.client.videos.create(prompt=read_text(prompt), **drop_unset(options))
    if output is None or not job.id:
        return Result(job, lambda job: write(f"{job.id}\n"))
    note(f"Created video {job.id}.")
    return _download_video(session, job.id, output, overwrite)


@videos.command("download")
@click.argument("id")
@_output_option
@overwrite_option
def download_video(session: Session, id: str, output: Path, overwrite: bool) -> Result:
    """Wait for a video, and write it to a file."""
    _check_new(output, overwrite)
    return _download_video(session, id, output, overwrite)


def _download_video(session: Session, id: str, output: Path, overwrite: bool) -> Result:
    with progress_bar("job") as show:
        job: VideoJob = session.client.videos.wait(id, progress=show)
    url = job.outputs and job.outputs.video_url
    if not url:
        raise APIResponseValidationError(f"the video {id} is complete, but has no address")
    session.download(url, output, overwrite=overwrite)
    return _saved(output, id=id)


def _check_new(path: Path, overwrite: bool) -> None:
    """Raises FileExistsError before a request that costs money."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} already exists: choose another --output, or pass --overwrite")


def _saved(path: Path, **details: Any) -> Result:
    return Result({**details, "path": str(path), "bytes": path.stat().st_size}, lambda _: write(f"{path}\n"))


@click.group("code", cls=Group, resource="code_interpreter")
def code() -> None:
    """Run Python code on the service's machines."""


@code.command("run")
@click.argument("code")
@click.option("--session-id", metavar="ID", help="Session of an earlier run, whose variables and files are used.")
@click.option("--file", "paths", type=EXISTING_FILE, multiple=True, metavar="FILE", help="File for the code. Repeatable.")
def run_code(session: Session, code: str, session_id: str | None, paths: Sequence[Path]) -> Result:
    """Run CODE; - reads it from stdin. Exit code 1 if it raises an exception. The session is on stderr."""
    files: Any = [{"name": path.name, "encoding": "base64", "content": b64encode(path.read_bytes()).decode()} for path in paths]
    with spinner("running"):
        response = session.client.code_interpreter.run(read_text(code), "python", session_id=session_id, files=files or None)
    outputs = response.data.outputs if response.data else []
    is_error = any(output.type == "error" for output in outputs)
    return Result(response, _show_outputs, INVALID_DATA if is_error else 0)


def _show_outputs(response: ExecuteResponse) -> None:
    for output in response.data.outputs if response.data else []:
        _show_output(output)
    if response.data and response.data.session_id:
        note(f"session: {response.data.session_id}")


def _show_output(output: CodeOutput) -> None:
    """Prints text as it is; of other results the text, and the types of what only --json prints."""
    data = output.data
    if isinstance(data, dict):
        text = data.get("text/plain")
        if others := [name for name in data if name != "text/plain"]:
            note(f"({', '.join(others)}: printed with --json)")
        data = f"{text}\n" if text else ""
    show: Callable[[str], object] = write if output.type not in ("stderr", "error") else sys.stderr.write
    show(data or "")


@code.command("sessions")
def sessions(session: Session) -> Result:
    """List active sessions."""
    response = session.client.code_interpreter.sessions.list()
    return Result(response.data.sessions if response.data else [], _SESSIONS)
