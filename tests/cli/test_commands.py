"""Commands and options of the `together` 1.x SDK exist under the same names; help is quick and complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from tests.cases import each
from together_adapters.cli.app import cli

# Commands of the 1.5.35 command line, and their options.
SEED = {
    "": "--api-key --base-url --timeout --max-retries --version --debug",
    "chat.completions": (
        "--message --model --max-tokens --stop --temperature --top-p --top-k --repetition-penalty --presence-penalty "
        "--frequency-penalty --min-p --audio-url --no-stream --logprobs --echo --n --safety-model --raw"
    ),
    "chat.interactive": (
        "--model --max-tokens --stop --temperature --top-p --top-k --repetition-penalty --presence-penalty "
        "--frequency-penalty --min-p --safety-model --system-message"
    ),
    "completions": (
        "--model --max-tokens --stop --temperature --top-p --top-k --repetition-penalty --presence-penalty "
        "--frequency-penalty --min-p --no-stream --logprobs --echo --n --safety-model --raw"
    ),
    "images generate": "--model --steps --seed --n --height --width --negative-prompt --output --prefix --no-show",
    "files upload": "--purpose --check --no-check",
    "files list": "",
    "files retrieve": "",
    "files retrieve-content": "--output",
    "files delete": "",
    "files check": "",
    "fine-tuning create": (
        "--training-file -t --model -m --n-epochs -ne --validation-file --n-evals --n-checkpoints -c --batch-size -b "
        "--learning-rate -lr --lr-scheduler-type --min-lr-ratio --scheduler-num-cycles --warmup-ratio --max-grad-norm "
        "--weight-decay --lora --no-lora --lora-r --lora-dropout --lora-alpha --lora-trainable-modules "
        "--training-method --dpo-beta --dpo-normalize-logratios-by-length --rpo-alpha --simpo-gamma --suffix -s "
        "--wandb-api-key --wandb-base-url --wandb-project-name --wandb-name --confirm -y --train-on-inputs "
        "--train-vision --from-checkpoint --from-hf-model --hf-model-revision --hf-api-token --hf-output-repo-name"
    ),
    "fine-tuning list": "",
    "fine-tuning retrieve": "",
    "fine-tuning cancel": "--quiet",
    "fine-tuning list-events": "",
    "fine-tuning list-checkpoints": "",
    "fine-tuning download": "--output_dir -o --checkpoint-step -s --checkpoint-type",
    "fine-tuning delete": "--force --quiet",
    "models list": "--type --json",
    "models upload": "--model-name --model-source --model-type --hf-token --description --base-model --lora-model --json",
    "endpoints create": (
        "--model --min-replicas --max-replicas --gpu --gpu-count --display-name --no-prompt-cache "
        "--no-speculative-decoding --no-auto-start --inactive-timeout --availability-zone --wait --no-wait"
    ),
    "endpoints get": "--json",
    "endpoints hardware": "--model --json --available",
    "endpoints stop": "--wait --no-wait",
    "endpoints start": "--wait --no-wait",
    "endpoints delete": "",
    "endpoints list": "--json --type --mine --usage-type",
    "endpoints update": "--display-name --min-replicas --max-replicas --inactive-timeout",
    "endpoints availability-zones": "--json",
    "evaluation create": (
        "--type --judge-model --judge-model-source --judge-external-api-token --judge-external-base-url "
        "--judge-system-template --input-data-file-path --model-field --model-to-evaluate --model-to-evaluate-source "
        "--model-to-evaluate-external-api-token --model-to-evaluate-external-base-url --model-to-evaluate-max-tokens "
        "--model-to-evaluate-temperature --model-to-evaluate-system-template --model-to-evaluate-input-template "
        "--labels --pass-labels --min-score --max-score --pass-threshold --model-a-field --model-a --model-a-source "
        "--model-a-external-api-token --model-a-external-base-url --model-a-max-tokens --model-a-temperature "
        "--model-a-system-template --model-a-input-template --model-b-field --model-b --model-b-source "
        "--model-b-external-api-token --model-b-external-base-url --model-b-max-tokens --model-b-temperature "
        "--model-b-system-template --model-b-input-template"
    ),
    "evaluation list": "--status --limit",
    "evaluation retrieve": "",
    "evaluation status": "",
}
HEAVY = ("httpx", "pydantic", "rich", "together_adapters.client", "together_adapters.types")


def commands(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command with its name."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            subcommand = command.get_command(context, name)
            assert subcommand is not None
            yield from commands(subcommand, (*path, name))


COMMANDS = dict(commands())


@each("name", SEED)
def test_commands_and_options_of_the_sdk(name: str) -> None:
    options = {flag for parameter in COMMANDS[name].params for flag in (*parameter.opts, *parameter.secondary_opts)}
    assert set(SEED[name].split()) <= options


@pytest.mark.parametrize(
    ("name", "option", "kind"),
    [
        ("chat.completions", "top_p", "float"),
        ("chat.completions", "top_k", "integer"),
        ("chat.interactive", "top_p", "float"),
        ("completions", "top_k", "integer"),
    ],
)
def test_types_of_numbers(name: str, option: str, kind: str) -> None:
    assert next(parameter for parameter in COMMANDS[name].params if parameter.name == option).type.name == kind


def test_new_commands() -> None:
    assert {"embeddings", "rerank", "batches create", "batches results", "emulator", "completion"} <= COMMANDS.keys()


@each("name", [name for name, command in COMMANDS.items() if not isinstance(command, click.Group)])
def test_every_command_has_json_and_help(name: str) -> None:
    command = COMMANDS[name]
    assert "--json" in {flag for parameter in command.params for flag in parameter.opts}
    assert command.get_short_help_str()
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help, parameter.name


def test_help_imports_no_heavy_module() -> None:
    code = (
        "import json, sys\n"
        "from together_adapters.cli.app import run\n"
        "run(['--help'])\n"
        "sys.stderr.write(json.dumps(list(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    modules = set(json.loads(result.stderr))
    assert "fine-tuning" in result.stdout
    assert not modules & set(HEAVY)


@pytest.mark.parametrize(("command", "extra"), [("models", "cli"), ("emulator", "emulator"), ("demo", "demo")])
def test_missing_extra(command: str, extra: str) -> None:
    code = (
        "import sys\n"
        "class Without:\n"
        "    def __init__(self, finder): self.finder = finder\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        return None if name in ('click', 'rich') else self.finder.find_spec(name, path, target)\n"
        "sys.meta_path[:] = map(Without, sys.meta_path)\n"
        "from together_adapters.cli import main\n"
        "raise SystemExit(main())"
    )
    result = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert (
        result.stderr
        == f'error: the command line needs click and rich: pip install "together-adapters[{extra}]" (".[{extra}]" in a clone)\n'
    )


def test_installed_script() -> None:
    script = os.path.join(os.path.dirname(sys.executable), "together-adapters")
    if not os.path.exists(script):
        pytest.skip("installed before the script existed: install again")
    result = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.startswith("together-adapters ")
