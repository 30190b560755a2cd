"""celeste analyze IMAGE: prints an image's metadata, content, quality and safety scores."""

from typing import TYPE_CHECKING, Any

import click

from celeste_image.cli.options import common_parameters, operation_options
from celeste_image.cli.terminal import say

if TYPE_CHECKING:
    from celeste_image.core.analysis import ImageContent, ImageMetadata, ImageQuality
    from celeste_image.core.safety import SafetyAnalysis

__all__ = ["command"]


@click.command(name="analyze")
@click.argument("image")
@click.option("--kind", "kinds", multiple=True, help="metadata, content, quality or safety; repeatable; default: all.")
@operation_options
def command(image: str, kinds: tuple[str, ...], **common: Any) -> int:
    """Analyze an image. IMAGE is a file, the name of an artifact, or - for standard input."""
    from celeste_image.cli import files
    from celeste_image.cli.costs import say_costs
    from celeste_image.cli.own_server import connect
    from celeste_image.cli.run import print_result, show
    from celeste_image.client.calls import AnalyzeParameters, analyze_request
    from celeste_image.core.request import AnalysisKind

    known = [kind.value for kind in AnalysisKind]
    if unknown := [kind for kind in kinds if kind not in known]:
        raise click.BadParameter(f"{unknown[0]!r} is not one of {', '.join(known)}", param_hint="--kind")
    parameters: AnalyzeParameters = {
        **common_parameters(common),
        "kinds": [AnalysisKind(kind) for kind in dict.fromkeys(kinds)],
    }
    request = analyze_request(files.image(image), parameters)
    with connect(common["server"]) as client:
        result = show(client, request, common)
    if common["as_json"]:
        print_result(result)
        return 0
    say_costs(result)
    if found := result.analysis:
        if found.metadata:
            print_metadata(found.metadata)
        if found.content:
            print_content(found.content)
        if found.quality:
            print_quality(found.quality)
        if found.safety:
            print_safety(found.safety)
    return 0


def print_metadata(facts: "ImageMetadata") -> None:
    """Prints the metadata of an image, one line per tag."""
    say(f"{facts.media_type}  {facts.width} x {facts.height}  {facts.color_mode}  {facts.size_bytes:,} bytes")
    say(f"sha256  {facts.sha256}")
    if facts.icc_profile:
        say(f"icc  {facts.icc_profile}")
    if made := facts.generation:
        say(f"made by  {made.tool}  {made.model}")
        for name in ("prompt", "negative_prompt", "seed", "steps", "sampler"):
            value = getattr(made, name)
            if value or (name == "seed" and value is not None):
                say(f"made by  {name}  {value}")
    if claimed := facts.credentials:
        size = f"{claimed.size_bytes:,} bytes" if claimed.size_bytes else claimed.remote_uri
        say(f"c2pa  not verified  {size}  {claimed.generator}  {claimed.digital_source_type}".rstrip())
    for entry in facts.entries:
        say(f"{entry.group}  {entry.name}  {entry.value}")


def print_content(content: "ImageContent") -> None:
    """Prints the content of an image."""
    if content.caption:
        say(f"caption ({content.caption_method})  {content.caption}")
    for tag in content.tags:
        say(f"tag  {tag.name}  {tag.score:.2f}")
    for thing in content.objects:
        place = thing.region
        say(f"object  {thing.name}  {thing.score:.2f}  {place.width} x {place.height} at {place.x}, {place.y}")
    for color in content.colors:
        say(f"color  {color.hex}  {color.name}  {color.share:.0%}")
    for line in content.texts:
        say(f"text  {line.text}  {line.score:.2f}")


def print_quality(quality: "ImageQuality") -> None:
    """Prints the technical quality of an image."""
    say(f"sharpness  {quality.sharpness:.2f}")
    say(f"brightness  {quality.brightness:.2f}  contrast  {quality.contrast:.2f}")
    say(f"clipped  {quality.clipped_shadows:.1%} black  {quality.clipped_highlights:.1%} white")
    say(f"noise  {quality.noise:.1f} of 255")


def print_safety(safety: "SafetyAnalysis") -> None:
    """Prints one line per category, with the network of a score that is not combined."""
    for each in safety.scores:
        say(f"safety  {each.category}  {each.score:.3f}  {each.network}".rstrip())
