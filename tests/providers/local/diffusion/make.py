"""Makes `tiny/`: a Stable Diffusion model with random weights in OpenVINO's format, small enough to be committed.

`make tiny-diffusion` runs this script in a separate environment, since only this script needs torch and diffusers. The
model has every part of the real one, each as small as its code allows, so it draws noise. Like the public conversions
of SD-Turbo it lacks OpenVINO's tokenizer and has optimum-intel's names in model_index.json: Celeste corrects both.
`words.json` has the tokens that transformers' own tokenizer gives for some prompts.
"""

# ruff: noqa: E402
import json
import shutil
import sys
from pathlib import Path
from typing import Any

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # sends nothing

import openvino as ov
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

HERE = Path(__file__).parent
OUT = HERE / "tiny"
LENGTH, WIDTH, LATENTS = 77, 16, 4
MERGES = ["t h", "i n", "th e</w>", "o n</w>", "in g</w>", "f o", "fo x</w>", "r e", "re d</w>", "a n", "an d</w>"]
PROMPTS = (
    *("a red fox", "A Red  FOX in the sea!", "don't", "42 lighthouses, 3.5 m", "café Ünïcode 狐 🦊", "", "   "),
    *("the " * 100, "tab\tand\nline", "naïve i̇stanbul STRASSE ß"),
)


def vocabulary() -> dict[str, int]:
    """Returns a vocabulary as CLIP numbers it: bytes, bytes that end a word, merges and two markers."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in shown}
    letters |= {byte: chr(256 + place) for place, byte in enumerate(b for b in range(256) if b not in shown)}
    words = [letters[byte] for byte in (*shown, *(b for b in range(256) if b not in shown))]
    words += [f"{word}</w>" for word in words]
    words += [merge.replace(" ", "") for merge in MERGES]
    return {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}


def write(place: Path, **values: Any) -> None:
    """Writes a value as JSON."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")


def save(module: torch.nn.Module, name: str, inputs: dict[str, Any], shapes: dict[str, Any], output: str) -> None:
    """Converts a module to OpenVINO's format, with the names of inputs and output that GenAI expects."""
    module.eval()
    model = ov.convert_model(module, example_input=inputs)
    for port, (key, shape) in zip(model.inputs, shapes.items(), strict=True):
        port.get_tensor().set_names({key})
        port.get_node().set_partial_shape(ov.PartialShape(shape))
    model.outputs[0].get_tensor().set_names({output})
    model.validate_nodes_and_infer_types()
    (OUT / name).mkdir(parents=True, exist_ok=True)
    ov.save_model(model, OUT / name / "openvino_model.xml", compress_to_fp16=True)


class Text(torch.nn.Module):
    def __init__(self, model: CLIPTextModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, return_dict=False)[0]


class Denoise(torch.nn.Module):
    def __init__(self, model: UNet2DConditionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, encoder_hidden_states: torch.Tensor) -> Any:
        return self.model(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class Encode(torch.nn.Module):
    def __init__(self, model: AutoencoderKL) -> None:
        super().__init__()
        self.model = model

    def forward(self, sample: torch.Tensor) -> Any:
        return self.model.encode(sample, return_dict=False)[0].parameters


class Decode(torch.nn.Module):
    def __init__(self, model: AutoencoderKL) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent_sample: torch.Tensor) -> Any:
        return self.model.decode(latent_sample, return_dict=False)[0]


def main() -> None:
    """Makes the model and `words.json`."""
    shutil.rmtree(OUT, ignore_errors=True)
    torch.manual_seed(7)
    words = vocabulary()

    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=WIDTH,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=LENGTH,
            bos_token_id=words["<|startoftext|>"],
            eos_token_id=words["<|endoftext|>"],
            pad_token_id=words["<|endoftext|>"],
            attn_implementation="eager",
        )
    )
    ids = torch.ones((1, LENGTH), dtype=torch.int64)
    save(Text(text), "text_encoder", {"input_ids": ids}, {"input_ids": [-1, -1]}, "last_hidden_state")

    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    for name, weight in unet.named_parameters():
        if "attn2" in name:
            weight.data *= 8  # otherwise rounding would hide the prompt's influence
    sample = torch.randn((2, LATENTS, 16, 16))
    hidden = torch.randn((2, LENGTH, WIDTH))
    given = {"sample": sample, "timestep": torch.tensor([1]), "encoder_hidden_states": hidden}
    shapes = {"sample": [-1, LATENTS, -1, -1], "timestep": [-1], "encoder_hidden_states": [-1, -1, WIDTH]}
    save(Denoise(unet), "unet", given, shapes, "out_sample")

    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=LATENTS,
        norm_num_groups=4,
        sample_size=64,
    )
    picture = torch.randn((1, 3, 64, 64))
    save(Encode(vae), "vae_encoder", {"sample": picture}, {"sample": [-1, 3, -1, -1]}, "latent_parameters")
    shape = {"latent_sample": [-1, LATENTS, -1, -1]}
    save(Decode(vae), "vae_decoder", {"latent_sample": torch.randn((1, LATENTS, 16, 16))}, shape, "sample")

    parts = {"text_encoder": text.config, "unet": unet.config, "vae_encoder": vae.config, "vae_decoder": vae.config}
    for name, config in parts.items():
        values = dict(config if isinstance(config, dict) else config.to_diff_dict())
        values = {key: value for key, value in values.items() if not key.startswith("_") or key == "_class_name"}
        write(OUT / name / "config.json", **values)
    if "model_type" not in json.loads((OUT / "text_encoder/config.json").read_text()):
        write(OUT / "text_encoder/config.json", **text.config.to_dict())
    write(
        OUT / "scheduler/scheduler_config.json",
        _class_name="EulerDiscreteScheduler",
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        prediction_type="epsilon",
        timestep_spacing="trailing",
        steps_offset=1,
        use_karras_sigmas=False,
    )
    place = OUT / "tokenizer"
    place.mkdir()
    (place / "vocab.json").write_text(json.dumps(words, ensure_ascii=False))
    (place / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES, ""]))
    marks = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    marks |= {"pad_token": "<|endoftext|>"}
    write(place / "special_tokens_map.json", **marks)
    write(place / "tokenizer_config.json", tokenizer_class="CLIPTokenizer", model_max_length=LENGTH, **marks)
    write(
        OUT / "model_index.json",
        _class_name="OVStableDiffusionPipeline",
        _diffusers_version="0.29.1",
        scheduler=["diffusers", "EulerDiscreteScheduler"],
        text_encoder=["optimum", "OVModelTextEncoder"],
        tokenizer=["transformers", "CLIPTokenizer"],
        unet=["optimum", "OVModelUnet"],
        vae_decoder=["optimum", "OVModelVaeDecoder"],
        vae_encoder=["optimum", "OVModelVaeEncoder"],
        safety_checker=[None, None],
        feature_extractor=[None, None],
        requires_safety_checker=False,
    )
    note = "Random weights, made by `make tiny-diffusion`. It draws noise. CC0-1.0.\n"
    (OUT / "README.md").write_text("---\nlicense: cc0-1.0\n---\n\n" + note)

    reader = CLIPTokenizer.from_pretrained(place)
    read = {prompt: reader(prompt, truncation=True, max_length=LENGTH)["input_ids"] for prompt in PROMPTS}
    (HERE / "words.json").write_text(json.dumps(read, indent=None, ensure_ascii=False) + "\n")
    size = sum(file.stat().st_size for file in OUT.rglob("*") if file.is_file())
    print(f"{size:,} bytes in {OUT.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
