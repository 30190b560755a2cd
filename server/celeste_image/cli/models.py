"""celeste models: lists the models with their states, or shows all facts of one model."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from celeste_image.cli import weights
from celeste_image.cli.options import Server, server_options
from celeste_image.cli.terminal import say, say_json

if TYPE_CHECKING:
    from celeste_image.v1.model_service_pb2 import Model

__all__ = ["command"]

REFUSALS = {1: "has to be paid", 2: "is free"}
"""What a refused request costs, by the number of `RefusalCharge`."""


@click.group(name="models", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON, with their parameters.")
@server_options
@click.pass_context
def command(ctx: click.Context, as_json: bool, server: Server) -> int:
    """List the models of a server, or install, add and export their weights."""
    if ctx.invoked_subcommand:
        return 0
    from google.protobuf import json_format

    from celeste_image.cli.own_server import connect
    from celeste_image.v1.model_service_pb2 import MODEL_EVIDENCE_PUBLISHER, MODEL_STATE_WEIGHTS_MISSING
    from celeste_image.v1.operation_pb2 import OperationKind

    with connect(server) as client:
        models = list(client.models(full=as_json))
        aliases = {} if as_json else client.aliases()
    if as_json:
        say_json([json_format.MessageToDict(model) for model in models])
        return 0
    for model in models:
        kinds = ", ".join(OperationKind.Name(k).removeprefix("OPERATION_KIND_").lower() for k in model.operations)
        star = "*" if model.default_for else " "
        tail = " (not run by us)" if model.evidence == MODEL_EVIDENCE_PUBLISHER else ""
        if model.state == MODEL_STATE_WEIGHTS_MISSING:
            tail += f": celeste models pull {model.id}"
        say(f"{star} {model.id:34} {kinds:14} {_state(model):16} {model.display_name}{tail}")
    for name, ids in aliases.items():
        say(f"  {name:34} alias of {', '.join(ids)}")
    say("* default model", err=True)
    return 0


@command.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@server_options
def show(model: str, as_json: bool, server: Server) -> int:
    """Show one model: its parameters, its prices and the origin of these facts."""
    from google.protobuf import json_format

    from celeste_image.cli.own_server import connect

    with connect(server) as client:
        try:
            found = client.model(model)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    if as_json:
        say_json(json_format.MessageToDict(found))
        return 0
    for line in _description(found):
        say(line)
    return 0


for each in weights.COMMANDS:
    command.add_command(each)


def _description(model: "Model") -> Iterator[str]:
    """Yields the lines about a model. A star marks a required parameter."""
    from celeste_image.cli.words import accepts
    from celeste_image.v1.model_service_pb2 import ModelEvidence, ModelStage
    from celeste_image.v1.operation_pb2 import OperationKind
    from celeste_image.wire.models import parameter_from_proto
    from celeste_image.wire.values import enum_word

    yield f"{model.id}  {model.display_name}"
    yield f"  {model.summary}"
    ends = f", ends {model.lifecycle.ends_on}" if model.lifecycle.ends_on else ""
    instead = f", then {model.lifecycle.replacement}" if model.lifecycle.replacement else ""
    facts = {
        "state": _state(model) + ends + instead,
        "stage": enum_word(ModelStage, model.lifecycle.stage),
        "edits": ", ".join(model.edits),
        "images per call": str(model.max_count),
        "previews": "yes" if model.sends_previews else "no",
        "evidence": enum_word(ModelEvidence, model.evidence).replace("_", " "),
        "license": model.license,
        "source": model.source,
        "checked on": model.checked_on,
    }
    yield from (f"  {name}: {value}" for name, value in facts.items() if value)
    for kind in model.operations:
        yield ""
        yield OperationKind.Name(kind).removeprefix("OPERATION_KIND_").lower()
        for parameter in (parameter_from_proto(one) for one in model.parameters if one.operation == kind):
            yield f"  {parameter.path}{'*' * parameter.required}: {accepts(parameter.range)}"
            yield f"      {parameter.help}"
    charge = REFUSALS.get(model.refusal_charge)
    if model.prices or charge:
        yield ""
        yield "prices"
    for price in model.prices:
        when = f" ({price.condition})" if price.condition else ""
        unit = f"{price.per:,} {price.unit}s" if price.per > 1 else price.unit
        amount = f"{Decimal(price.price.nanos) / 10**9:f} {price.price.currency_code}"
        yield f"  {amount} per {unit}{when}; {price.source}, {price.checked_on}"
    if charge:
        yield f"  a refused request {charge}"


def _state(model: "Model") -> str:
    from celeste_image.v1.model_service_pb2 import ModelState

    return ModelState.Name(model.state).removeprefix("MODEL_STATE_").lower().replace("_", " ")
