"""Adapts diffusion models in OpenVINO's format for OpenVINO GenAI. Needs the extra `diffusion`.

GenAI requires `tokenizer/openvino_tokenizer.xml`, and diffusers' names in `model_index.json`. Conversions by
optimum-intel before 2025 have neither. All public conversions of SD-Turbo are of this kind (model_index.json and file
lists in copies of their pages, 2026-11-28). They have CLIP's vocabulary and merges, and names such as OVModelUnet.
The converter of openvino-tokenizers requires `transformers`. Its pipeline steps do not, and CLIP's tokenizer needs few
of them.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celeste_image.core.errors import WeightsMissing
from celeste_image.engines.quiet import quiet_openvino

__all__ = ["adapt", "convert"]

INDEX = "model_index.json"
NAMES: Mapping[str, tuple[str, str]] = {
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
}
"""Diffusers' names for the parts of Stable Diffusion and XL that optimum-intel names differently."""

SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""CLIP's pattern for a word."""
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77
"""Tokens that CLIP reads, including one marker at each end."""


def adapt(folder: Path) -> list[Path]:
    """Writes the files that GenAI requires and the folder lacks; returns the files written, which may be none.

    Raises:
        WeightsMissing: `model_index.json` is absent or invalid, or a tokenizer is not CLIP's.
    """
    written = _index(folder / INDEX)
    for place in sorted(folder.glob("tokenizer*")):
        if place.is_dir() and not (place / "openvino_tokenizer.xml").is_file():
            written += _tokenizer(place)
    return written


def _index(file: Path) -> list[Path]:
    try:
        index = json.loads(file.read_text("utf-8"))
        name = str(index["_class_name"])
        own = name.startswith("OV") or any("OVModel" in str(value) for value in index.values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise WeightsMissing(f"{INDEX} is missing or does not name the model's pipeline") from error
    if not own:
        return []
    changed = {key: value for key, value in index.items() if key not in ("vae_encoder", "vae_decoder")}
    changed["_class_name"] = name.removeprefix("OV")
    for part, names in NAMES.items():
        if part == "vae" or changed.get(part, [None])[0]:
            changed[part] = names
    file.write_text(json.dumps(changed, indent=2, sort_keys=True) + "\n", "utf-8")
    return [file]


def _tokenizer(place: Path) -> list[Path]:
    vocabulary, merges = place / "vocab.json", place / "merges.txt"
    if not (vocabulary.is_file() and merges.is_file()):
        raise WeightsMissing(f"{place.name} has neither openvino_tokenizer.xml nor CLIP's vocab.json and merges.txt")
    try:
        words = {str(word): int(number) for word, number in json.loads(vocabulary.read_text("utf-8")).items()}
        lines = [line for line in merges.read_text("utf-8").splitlines() if line and not line.startswith("#version")]
        pad = json.loads((place / "tokenizer_config.json").read_text("utf-8")).get("pad_token", END)
        return convert(words, lines, str(pad["content"] if isinstance(pad, dict) else pad), place)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise WeightsMissing(f"{place.name} is not a CLIP tokenizer ({type(error).__name__})") from error


def convert(words: Mapping[str, int], merges: list[str], pad: str, place: Path) -> list[Path]:
    """Writes an OpenVINO tokenizer for CLIP's vocabulary and merges; returns its two files.

    Args:
        words: Token numbers by token.
        merges: Pairs such as "a b</w>", highest priority first.
        pad: The padding token.
        place: The tokenizer's folder.

    Raises:
        KeyError: The vocabulary lacks `pad` or one of CLIP's two markers.
    """
    quiet_openvino()
    import openvino
    from openvino_tokenizers import tokenizer_pipeline as parts
    from openvino_tokenizers.utils import change_outputs_type

    marks = {"bos": words[BEGIN], "eos": words[END], "pad": words[pad]}
    model = parts.BPETokenizationStep(
        vocab=[word for word, _ in sorted(words.items(), key=lambda item: item[1])],
        merges=merges,
        unk_token=END,
        end_suffix="</w>",
        added_tokens={BEGIN: marks["bos"], END: marks["eos"]},
        cache_capacity=20_000,
    )
    ends: list[Any] = [
        parts.AddToken(token=BEGIN, _token_id=marks["bos"]),
        parts.Sequence(),
        parts.AddToken(token=END, _token_id=marks["eos"]),
    ]
    pipeline = parts.TokenizerPipeline()
    pipeline.add_steps(
        [
            parts.SpecialTokensSplit.from_string_iter([BEGIN, END]),
            parts.NormalizeUnicode("NFC"),
            parts.RegexNormalizationStep(r"\s+", " "),
            parts.CaseFoldStep("utf-8"),
            parts.RegexSplitStep(SPLIT, invert=True, behaviour="remove"),  # the library's spelling
            parts.BytesToCharsStep(),
            model,
            parts.TruncationStep(max_length=LENGTH - 2, truncation=True),
            parts.CombineSegmentsStep(inputs=ends),
            parts.PaddingStep(token=pad, _token_id=marks["pad"]),
        ]
    )
    pipeline.vocab = model.vocab
    made = change_outputs_type(pipeline.get_tokenizer_ov_subgraph(), openvino.Type.i64)
    for name, number in marks.items():
        made.set_rt_info(number, f"{name}_token_id")
    # Default names contain a counter of this process; fixed names make the bytes reproducible.
    made.inputs[0].get_tensor().set_names({"text"})
    for number, node in enumerate(made.get_ordered_ops()):
        node.set_friendly_name(f"node_{number}")
    xml = place / "openvino_tokenizer.xml"
    openvino.save_model(made, os.fspath(xml), compress_to_fp16=False)
    return [xml, xml.with_suffix(".bin")]
