"""`fine-tuning create`: a job with all its options, started after the price was shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from together_adapters.cli.arguments import BoolOr, NumberOr, confirm
from together_adapters.cli.command import Command, Session
from together_adapters.cli.output import details, document, note

if TYPE_CHECKING:
    from together_adapters.types.fine_tuning import FinetunePriceEstimate

_LORA_RATE: Final = 1e-3
_FULL_RATE: Final = 1e-5
_LORA_ONLY: Final = ("lora_r", "lora_dropout", "lora_alpha", "lora_trainable_modules")


@click.command("create", cls=Command)
@click.option("--training-file", "-t", required=True, metavar="ID", help="The id of an uploaded file.")
@click.option("--model", "-m", metavar="NAME", help="The model to train; either this or --from-checkpoint.")
@click.option("--n-epochs", "-ne", type=int, default=1, show_default=True, metavar="N", help="How often to go through the data.")
@click.option("--validation-file", default="", metavar="ID", help="The id of a file that the loss is measured on.")
@click.option("--n-evals", type=int, default=0, show_default=True, metavar="N", help="How often to measure it.")
@click.option("--n-checkpoints", "-c", type=int, default=1, show_default=True, metavar="N", help="States of the model to keep.")
@click.option(
    "--batch-size", "-b", type=NumberOr("max"), default="max", show_default=True, metavar="N|max", help="Rows per step."
)
@click.option("--learning-rate", "-lr", type=float, metavar="X", help="At its peak; 0.001 with LoRA, 0.00001 without by default.")
@click.option(
    "--lr-scheduler-type", type=click.Choice(["linear", "cosine"]), default="cosine", show_default=True, help="How it falls."
)
@click.option(
    "--min-lr-ratio", type=float, default=0.0, show_default=True, metavar="X", help="What is left of it at the end, 0 to 1."
)
@click.option("--scheduler-num-cycles", type=float, default=0.5, show_default=True, metavar="X", help="Waves of the cosine.")
@click.option(
    "--warmup-ratio", type=float, default=0.0, show_default=True, metavar="X", help="Part of the steps in which it rises."
)
@click.option(
    "--max-grad-norm", type=float, default=1.0, show_default=True, metavar="X", help="Longer gradients are cut; 0 cuts none."
)
@click.option("--weight-decay", type=float, default=0.0, show_default=True, metavar="X", help="Pull of the weights towards 0.")
@click.option("--lora/--no-lora", default=True, show_default=True, help="Train an adapter, or all weights.")
@click.option("--lora-r", type=int, metavar="N", help="Rank of the adapter; the highest that the model takes by default.")
@click.option("--lora-dropout", type=float, default=0, show_default=True, metavar="X", help="0 up to, not including, 1.")
@click.option("--lora-alpha", type=float, metavar="X", help="Weight of the adapter; twice the rank by default.")
@click.option(
    "--lora-trainable-modules",
    default="all-linear",
    show_default=True,
    metavar="NAMES",
    help="Modules, with commas between them.",
)
@click.option(
    "--training-method", type=click.Choice(["sft", "dpo"]), default="sft", show_default=True, help="dpo is for preferences."
)
@click.option("--dpo-beta", type=float, metavar="X", help="With dpo: how closely to stay with the original model.")
@click.option(
    "--dpo-normalize-logratios-by-length", type=bool, default=False, show_default=True, help="With dpo: compare per token."
)
@click.option("--rpo-alpha", type=float, metavar="X", help="With dpo: weight of the preferred answer's own loss.")
@click.option("--simpo-gamma", type=float, metavar="X", help="With dpo: margin of rewards, as in SimPO.")
@click.option("--suffix", "-s", metavar="TEXT", help="Up to 40 characters for the name of the new model.")
@click.option("--wandb-api-key", metavar="KEY", help="A key of Weights & Biases.")
@click.option("--wandb-base-url", metavar="URL", help="Where Weights & Biases is.")
@click.option("--wandb-project-name", metavar="NAME", help="The project there.")
@click.option("--wandb-name", metavar="NAME", help="The run there.")
@click.option("--wandb-entity", metavar="NAME", help="The team there.")
@click.option("--confirm", "-y", "confirmed", is_flag=True, help="Start without showing the price and asking.")
@click.option("--train-on-inputs", type=BoolOr("auto"), metavar="true|false|auto", help="Learn the prompts too; auto by default.")
@click.option("--train-vision", type=bool, default=False, show_default=True, help="Train on the images as well.")
@click.option("--from-checkpoint", metavar="ID[:STEP]", help="A job or a model to go on with.")
@click.option("--from-hf-model", metavar="REPO", help="A Hugging Face repository like the model to start from.")
@click.option("--hf-model-revision", metavar="TEXT", help="Its branch or commit.")
@click.option("--hf-api-token", metavar="TOKEN", help="A Hugging Face token.")
@click.option("--hf-output-repo-name", metavar="REPO", help="A repository to send the result to.")
@click.option("--packing/--no-packing", default=None, help="Train on several rows at once; the service does by itself.")
@click.option("--max-seq-length", type=int, metavar="N", help="Tokens of a row beyond which it is cut.")
@click.option("--random-seed", type=int, metavar="N", help="The same seed trains the same way.")
@click.pass_context
def create(ctx: click.Context, /, confirmed: bool, **options: Any) -> None:
    """Start a job. Its price is shown first, and you are asked."""
    session: Session = ctx.obj
    session.hide(options["wandb_api_key"], options["hf_api_token"])
    _check(ctx, options)
    if options["learning_rate"] is None:
        options["learning_rate"] = _LORA_RATE if options["lora"] else _FULL_RATE
    job = session.client.fine_tuning.create(**options, on_price=None if confirmed else _ask)
    if session.as_json:
        document(job)
        return
    note(f"Successfully submitted a fine-tuning job {job.id}")
    details({"id": job.id, "status": job.status, "model": job.model, "output_name": job.model_output_name})


def _check(ctx: click.Context, options: dict[str, Any]) -> None:
    """Refuse what contradicts itself before anything is sent.

    Raises:
        UsageError: It does.
    """
    if not options["model"] and not options["from_checkpoint"]:
        raise click.UsageError("name what to train: --model or --from-checkpoint", ctx)
    given = [name for name in _LORA_ONLY if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT]
    if given and not options["lora"]:
        raise click.UsageError(f"--{given[0].replace('_', '-')} goes with --lora, not with --no-lora", ctx)
    if options["n_evals"] > 0 and not options["validation_file"]:
        raise click.UsageError("--n-evals needs --validation-file", ctx)
    if options["n_evals"] <= 0 and options["validation_file"]:
        note("warning: --validation-file without --n-evals: nothing will be measured")


def _ask(estimate: FinetunePriceEstimate) -> None:
    """Show a price, and ask.

    Raises:
        Declined: The answer was no.
    """
    price = (
        f"${estimate.estimated_total_price:,.2f}"
        if estimate.available
        else f"unknown ({estimate.unavailable_reason or 'no reason given'})"
    )
    note(
        f"The estimated price of this job is {price}. What it costs depends on the model, the tokens, the epochs and evaluations."
    )
    if estimate.allowed_to_proceed is False:
        note("warning: that is more than the account may spend; the job would probably be cancelled")
    confirm("Do you want to proceed?", default=True, flag="--confirm (-y)")
