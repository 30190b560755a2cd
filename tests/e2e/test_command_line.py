"""The command line as a user types it, against a server in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import pictures
from tests.support.callers import key_table, new_key
from tests.support.command import CELESTE, Celeste


def test_a_prompt_alone_makes_a_picture_and_prints_its_path(celeste: Celeste, tmp_path: Path) -> None:
    done = celeste("a red fox in a snowy forest", "--seed", "3", "--size", "256x128")
    assert done.returncode == 0
    assert done.stdout == b"a-red-fox-in-a-snowy-forest-3-0.png\n"
    image = pictures.opened((tmp_path / done.stdout.decode().strip()).read_bytes())
    assert image.size == (256, 128)


def test_a_model_that_can_not_be_used_gives_way_to_the_fallback(celeste: Celeste) -> None:
    done = celeste("a fish", "--size", "64x64", "-m", "openai/gpt-image-2", "--fallback", "local/compose", "--json")
    assert done.returncode == 0
    result = json.loads(done.stdout)
    (line,) = [line for line in result["fidelity"] if line["path"] == "model"]
    assert (line["asked"], line["sent"], result["model"]) == ("openai/gpt-image-2", "local/compose", "local/compose")
    assert b"openai/gpt-image-2 failed (PROVIDER_CREDENTIALS)" in b" ".join(done.stderr.split())


def test_a_command_needs_no_key_for_a_server_of_its_own(celeste: Celeste, tmp_path: Path) -> None:
    table = key_table(new_key(), "acme")
    (tmp_path / "celeste.toml").write_text(
        f"[callers.keys.a]\ntenant = 'acme'\nsha256 = '{table['sha256']}'\n"
        "[server.tls]\ncertificate_file = 'missing'\nkey_file = 'missing'\n"
    )
    assert celeste("a fish", "--size", "64x64", CELESTE_ADDRESS="").returncode == 0


def test_nothing_is_overwritten(celeste: Celeste, tmp_path: Path) -> None:
    first = celeste("a fish", "--seed", "1", "--size", "64x64")
    second = celeste("a fish", "--seed", "1", "--size", "64x64")
    assert first.stdout != second.stdout
    (tmp_path / "mine.png").write_bytes(b"mine")
    refused = celeste("a fish", "--seed", "1", "--size", "64x64", "-o", "mine.png")
    assert refused.returncode == 2
    assert b"--force" in refused.stderr
    assert (tmp_path / "mine.png").read_bytes() == b"mine"
    forced = celeste("a fish", "--seed", "1", "--size", "64x64", "-o", "mine.png", "--force")
    assert forced.returncode == 0
    assert (tmp_path / "mine.png").read_bytes() == (tmp_path / first.stdout.decode().strip()).read_bytes()


def test_a_suffix_that_lies_is_mended_and_said_so(celeste: Celeste, tmp_path: Path) -> None:
    done = celeste("a fish", "--size", "64x64", "-o", "fish.jpg")
    assert done.stdout == b"fish.png\n"
    assert b"image/png" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["fish.png"]


def test_several_images(celeste: Celeste, tmp_path: Path) -> None:
    done = celeste("generate", "a", "tree", "--count", "2", "--seed", "8", "--size", "64x64", "-o", "out/tree.png")
    assert done.stdout.decode().split() == ["out/tree-0.png", "out/tree-1.png"]
    assert (tmp_path / "out/tree-0.png").read_bytes() != (tmp_path / "out/tree-1.png").read_bytes()


def test_the_prompt_comes_from_a_pipe(celeste: Celeste) -> None:
    done = celeste("generate", "-", "--size", "64x64", stdin=b"a boat\n")
    assert done.returncode == 0
    assert done.stdout.startswith(b"a-boat-")


def test_upscale_shows_progress_on_standard_error_alone(celeste: Celeste, tmp_path: Path) -> None:
    (tmp_path / "face.png").write_bytes(pictures.photo(128))
    done = celeste("upscale", "face.png", "--factor", "3", "--model", "local/realesrgan-animevideov3")
    assert done.stdout == b"face-upscaled-0.png\n"
    assert b"100%" in done.stderr
    assert pictures.opened((tmp_path / "face-upscaled-0.png").read_bytes()).size == (384, 384)


def test_upscale_reads_a_pipe(celeste: Celeste, tmp_path: Path) -> None:
    done = celeste("upscale", "-", "-o", "large.png", "-m", "local/lanczos", stdin=pictures.plain(20, 10))
    assert done.returncode == 0
    assert pictures.opened((tmp_path / "large.png").read_bytes()).size == (80, 40)


def test_analyze(celeste: Celeste) -> None:
    done = celeste("analyze", str(pictures.PHOTO))
    assert b"image/jpeg  512 x 512  RGB" in done.stdout
    assert b"exif  Artist  NASA" in done.stdout


def test_a_recipe_is_written_and_read_and_no_text_of_a_file_commands_the_terminal(celeste: Celeste) -> None:
    celeste("a fox \x1b[31m", "--recipe", "--metadata", "strip", "--size", "64x64", "--seed", "4", "-o", "fox.png")
    done = celeste("analyze", "fox.png", "--kind", "metadata")
    assert b"made by  celeste  local/compose" in done.stdout
    assert b"made by  prompt  a fox \\x1b[31m" in done.stdout
    assert b"made by  seed  4" in done.stdout
    assert b"\x1b" not in done.stdout
    assert celeste("analyze", "fox.png", "--kind", "smell").returncode == 2


def test_json_is_the_contracts(celeste: Celeste, tmp_path: Path) -> None:
    done = celeste("a house", "--json", "--size", "64x64", "--seed", "4", "-o", "house.png")
    result = json.loads(done.stdout)
    assert result["model"] == "local/compose"
    assert result["paths"] == ["house.png"]
    assert result["images"][0]["seed"] == "4"
    assert "data" not in result["images"][0]
    analysis = json.loads(celeste("analyze", "--json", "house.png").stdout)["analysis"]["metadata"]
    assert analysis["sha256"] == result["images"][0]["sha256"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["upscal", "x.png"], 2, b"did you mean 'upscale'"),
        (["upscale", "missing.png"], 2, b"No such file"),
        (["a fish", "-m", "local/nothing"], 7, b"there is no model"),
        (["a fish", "-m", "local/lanczos"], 1, b"local/compose"),
        (["a fish", "--size", "4x4"], 2, b"64 to 2,048 pixels"),
        (["a fish", "--size", "big"], 2, b"768x512"),
        (["upscale", str(pictures.PHOTO), "--set", "local.tyle=64"], 2, b"tyle"),
        (["upscale", str(pictures.PHOTO), "--set", "tile"], 2, b"PROVIDER.NAME=VALUE"),
        (["upscale", str(pictures.PHOTO), "-f", "12", "--set", "local.tile=32", "--timeout", "0.5"], 8, b"eadline"),
    ],
)
def test_failures_say_what_and_exit_by_the_table(
    celeste: Celeste, arguments: list[str], code: int, words: bytes
) -> None:
    done = celeste(*arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr


def test_what_the_policy_does_is_told(celeste: Celeste) -> None:
    prompts = json.dumps({"weapons": {"words": ["gun*"]}, "gore": {"action": "flag", "words": ["blood"]}})
    alone = {"CELESTE_ADDRESS": "", "CELESTE_STORE__URL": "memory:///", "CELESTE_SAFETY__PROMPTS": prompts}
    refused = celeste("two guns and blood", **alone)
    assert refused.returncode == 5
    assert b"error: prompt: blocked by the safety policy of this server: weapons" in refused.stderr
    flagged = celeste("blood on the moon", "--json", **alone)
    assert flagged.returncode == 0
    assert b"warning: prompt: flagged: gore" in flagged.stderr
    (verdict,) = json.loads(flagged.stdout)["safety"]
    assert verdict == {
        "stage": "SAFETY_STAGE_PROMPT",
        "category": "gore",
        "action": "SAFETY_ACTION_FLAG",
        "path": "prompt",
        "owed": False,
    }


def test_an_unreachable_server(celeste: Celeste) -> None:
    done = celeste("a fish", CELESTE_ADDRESS="127.0.0.1:1")
    assert done.returncode == 9
    assert celeste("health", CELESTE_ADDRESS="127.0.0.1:1").returncode == 9


def test_models(celeste: Celeste) -> None:
    done = celeste("models")
    assert b"* local/compose" in done.stdout
    assert b"SD-Turbo (not run by us): celeste models pull local/sd-turbo" in done.stdout
    listed = json.loads(celeste("models", "--json").stdout)
    (compose,) = [model for model in listed if model["id"] == "local/compose"]
    assert "prompt" in {parameter["path"] for parameter in compose["parameters"]}
    assert celeste("models", "pull", "local/lanczos").returncode == 2
    shown = celeste("models", "show", "bfl/flux-pro-1.1").stdout.decode()
    for words in (
        "  evidence: official client",
        "  prompt*: text",
        "sides 256 to 1440",
        "0.04 USD per image; docs.bfl.ai",
    ):
        assert words in shown
    assert json.loads(celeste("models", "show", "local/compose", "--json").stdout) == compose
    assert celeste("models", "show", "bfl/nobody").returncode == 7


def test_providers(celeste: Celeste) -> None:
    listed = {provider["name"]: provider for provider in json.loads(celeste("providers", "--json").stdout)}
    assert listed["local"]["configured"]
    assert "openai/gpt-image-2" in listed["openai"]["models"]
    assert listed["openai"]["key_variable"] == "OPENAI_API_KEY"
    assert listed["compatible"] == {
        "name": "compatible",
        "title": "OpenAI-compatible server",
        "configured": False,
        "kind": "compatible",
        "key_variable": "",
        "models": [],
    }
    assert b"openai" in celeste("providers").stdout


def test_the_form_of_keys_is_checked_offline(celeste: Celeste) -> None:
    good, bad = "sk-proj-" + "a1" * 20, "r8_" + "a" * 37
    done = celeste("providers", "check", "--offline", "openai", OPENAI_API_KEY=good)
    assert (done.returncode, done.stdout[:2]) == (0, b"OK")
    done = celeste("providers", "check", "--offline", "openai", OPENAI_API_KEY=bad)
    assert done.returncode == 4
    assert b"Replicate" in done.stdout
    assert bad.encode() not in done.stdout + done.stderr
    assert celeste("providers", "check", "nobody").returncode == 2


def test_without_an_address_a_server_of_its_own_is_started_and_ended(tmp_path: Path) -> None:
    import os

    environment = {name: value for name, value in os.environ.items() if name != "CELESTE_ADDRESS"}
    environment["CELESTE_STORE__URL"] = f"file://{tmp_path}/artifacts"
    done = subprocess.run(
        [*CELESTE, "a boat", "--size", "64x64", "-o", "boat.png"],
        capture_output=True,
        cwd=tmp_path,
        env=environment,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, b"boat.png\n")
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True).stdout.decode()
    assert not [line for line in listed.splitlines() if "serve --listen unix:" in line and str(os.getpid()) in line]


def test_a_local_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    import os

    environment = {name: value for name, value in os.environ.items() if name != "CELESTE_ADDRESS"}
    environment["CELESTE_STORE__URL"] = "ftp://nowhere"
    done = subprocess.run([*CELESTE, "a boat"], capture_output=True, cwd=tmp_path, env=environment, timeout=60)
    assert done.returncode == 9
    assert b"ftp" in done.stderr


def test_help_lists_the_commands() -> None:
    done = subprocess.run([sys.executable, "-m", "celeste_image.cli.main", "--help"], capture_output=True, check=True)
    for command in (b"generate", b"upscale", b"analyze", b"models", b"serve", b"health"):
        assert command in done.stdout
