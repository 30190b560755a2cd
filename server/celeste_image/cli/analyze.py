"""celeste analyze IMAGE"""

from typing import Any

import click

from celeste_image.cli.options import operation_options, provider_options

__all__ = ["command"]


@click.command(name="analyze")
@click.argument("image")
@operation_options
def command(image: str, **common: Any) -> int:
    """Find out about a picture. IMAGE is a file, or the name of an artifact."""
    from celeste_image.cli.files import picture
    from celeste_image.cli.run import print_result, show
    from celeste_image.client import connect
    from celeste_image.client.calls import AnalyzeParameters, analyze_request

    parameters: AnalyzeParameters = {
        "model": common["model"],
        "strict": common["strict"],
        "provider_options": provider_options(common["settings"]),
    }
    request = analyze_request(picture(image), parameters)
    with connect(common["address"]) as client:
        result = show(client, request, common["timeout"])
    if common["as_json"]:
        print_result(result)
    elif result.analysis and result.analysis.metadata:
        facts = result.analysis.metadata
        click.echo(
            f"{facts.media_type}  {facts.width} x {facts.height}  {facts.color_mode}  {facts.size_bytes:,} bytes"
        )
        click.echo(f"sha256  {facts.sha256}")
        if facts.icc_profile:
            click.echo(f"icc  {facts.icc_profile}")
        for entry in facts.entries:
            click.echo(f"{entry.group}  {entry.name}  {entry.value}")
    if not common["as_json"] and result.analysis and result.analysis.safety:
        for each in result.analysis.safety.scores:
            click.echo(f"safety  {each.category}  {each.score:.3f}  {each.network}".rstrip())
    return 0
