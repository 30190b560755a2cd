"""celeste providers: lists the providers, and checks their keys."""

from typing import Any

import click

from celeste_image.cli.configuration import configuration_options, refused
from celeste_image.cli.options import Server, server_options
from celeste_image.cli.terminal import say, say_json

__all__ = ["command"]

CREDENTIALS = 4


@click.group(name="providers", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@server_options
@click.pass_context
def command(ctx: click.Context, as_json: bool, server: Server) -> int:
    """List the providers of a server, or check the keys of this machine."""
    if ctx.invoked_subcommand:
        return 0
    from celeste_image.cli.own_server import connect

    with connect(server) as client:
        models = list(client.models())
        providers = client.providers()
    listed: list[dict[str, Any]] = [
        {
            "name": provider.name,
            "title": provider.display_name,
            "configured": provider.configured,
            "kind": provider.kind,
            "key_variable": provider.key_variable,
            "models": [model.id for model in models if model.provider == provider.name],
        }
        for provider in providers
    ]
    if as_json:
        say_json(listed)
        return 0
    for provider_facts in listed:
        kind, state = provider_facts["kind"], "configured" if provider_facts["configured"] else "no key"
        if kind == provider_facts["name"] and not provider_facts["models"]:
            state = "no table"  # a kind without a configured provider
        count = len(provider_facts["models"])
        say(f"{provider_facts['name']:16} {state:12} {count:3} models  {provider_facts['title']}")
    return 0


@command.command()
@click.argument("names", nargs=-1)
@click.option("--offline", is_flag=True, help="Check only the form of the keys.")
@configuration_options
def check(names: tuple[str, ...], offline: bool, file: str | None, assignments: tuple[str, ...]) -> int:
    """Check the keys of a server on this machine. Each check is a free call to the vendor."""
    import asyncio

    from celeste_image.config import load
    from celeste_image.providers.kit.check import Checked, Checks, check_key
    from celeste_image.providers.kit.credentials import Verdict
    from celeste_image.providers.kit.vendor import Vendor
    from celeste_image.providers.registry import build_providers
    from celeste_image.telemetry.logs import configure_logs

    async def checking(vendor: Vendor | Checks) -> Checked:
        online = not offline
        return await (vendor.check(online=online) if isinstance(vendor, Checks) else check_key(vendor, online=online))

    async def checked() -> list[Checked]:
        settings = configuration.valid()
        configure_logs(settings.log.level, settings.log.format)
        providers: dict[str, Any] = dict(build_providers(settings.providers))
        vendors = {name: each for name, each in providers.items() if isinstance(each, Vendor | Checks)}
        if unknown := [name for name in names if name not in vendors]:
            raise click.UsageError(f"{unknown[0]} is no vendor here; they are {', '.join(sorted(vendors))}")
        wanted = names or [name for name, vendor in vendors.items() if isinstance(vendor, Checks) or vendor.has_key]
        try:
            return list(await asyncio.gather(*(checking(vendors[name]) for name in wanted)))
        finally:
            for provider in providers.values():
                await provider.close()

    configuration = load(assignments=assignments, file=file)
    try:
        found = asyncio.run(checked())
    except (ValueError, OSError) as error:
        raise refused(error, configuration) from error
    for outcome in found:
        say(f"{outcome.verdict.value.upper():8} {outcome.provider:16} {outcome.text}")
    if not found:
        say("no vendor has a key here", err=True)
    return CREDENTIALS if any(outcome.verdict is Verdict.FAILED for outcome in found) else 0
