"""Adapting conversions for GenAI, and blocking OpenVINO's telemetry."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.model_hub import TINY

from celeste_image.core.errors import WeightsMissing
from celeste_image.providers.local.weights.adapt import adapt

WORDS = json.loads((TINY.parent / "words.json").read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "tiny"))


def test_the_tokenizer_reads_as_transformers_does(folder: Path) -> None:
    assert {path.name for path in adapt(folder)} == {
        "model_index.json",
        "openvino_tokenizer.xml",
        "openvino_tokenizer.bin",
    }
    import openvino_genai

    tokenizer = openvino_genai.Tokenizer(str(folder / "tokenizer"))
    for prompt, ids in WORDS.items():
        assert tokenizer.encode(prompt).input_ids.data[0].tolist() == ids, prompt
    assert len(WORDS) >= 10
    assert tokenizer.get_pad_token_id() == json.loads((folder / "tokenizer/vocab.json").read_text())["<|endoftext|>"]
    assert adapt(folder) == []


def test_names_are_those_of_diffusers(folder: Path) -> None:
    adapt(folder)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
    assert index["vae"] == ["diffusers", "AutoencoderKL"]
    assert index["scheduler"] == ["diffusers", "EulerDiscreteScheduler"]
    assert "OV" not in json.dumps(index)
    assert "text_encoder_2" not in index


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("tokenizer/vocab.json", "[]", "not a CLIP tokenizer"),
        ("tokenizer/vocab.json", '{"a": 0}', "not a CLIP tokenizer"),
        ("model_index.json", "{", "model_index.json"),
        ("model_index.json", "[]", "model_index.json"),
    ],
)
def test_a_broken_folder_is_refused(folder: Path, path: str, text: str, words: str) -> None:
    (folder / path).write_text(text)
    with pytest.raises(WeightsMissing, match=words):
        adapt(folder)


@pytest.mark.parametrize("quiet", [True, False])
def test_openvino_sends_nothing(quiet: bool) -> None:
    """Importing OpenVINO sends an event unless that is blocked; the second case shows that this is still so."""
    program = f"""
import sys
asked = set()
sys.addaudithook(lambda event, _: asked.add(event) if event.startswith(("socket.", "subprocess.")) else None)
if {quiet}:
    from celeste_image.engines.quiet import quiet_openvino
    quiet_openvino()
import openvino, openvino_genai
sent = type(sys.modules["openvino.tools.ovc"].telemetry).__module__
print(sent, sorted(asked) if {quiet} else "")
"""
    environment = {"PATH": "/usr/bin", "CI": "true", "HOME": "/nonexistent"}  # with CI set, telemetry sends nothing
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60)
    module = "openvino.tools.ovc.telemetry_stub []" if quiet else "openvino_telemetry.main"
    assert done.stdout.strip() == module, done.stderr
