"""Test models on a real inference server, the ModelServer of the package kserve.

Runs in an environment of its own, with kserve's `--grpc_port` and `--http_port`, and `--weights`, the folder of a
Real-ESRGAN network for ncnn. Only the models are ours; the server, its protocol and its errors are kserve's.
"""

import argparse
import asyncio
import io
import os
from pathlib import Path
from typing import ClassVar

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import ncnn
import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.errors import InvalidInput
from PIL import Image


class Served(Model):
    """A model with declared input and output tensors."""

    inputs: ClassVar[list[dict]] = []
    outputs: ClassVar[list[dict]] = []

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    def get_input_types(self) -> list[dict]:
        return self.inputs

    def get_output_types(self) -> list[dict]:
        return self.outputs

    def answer(self, request: InferRequest, values: np.ndarray, datatype: str = "", raw: bool = True) -> InferResponse:
        (output,) = self.outputs
        made = InferOutput(output["name"], list(values.shape), datatype or output["datatype"])
        made.set_data_from_numpy(values, binary_data=raw)
        return InferResponse(request.id, self.name, [made])


def tensor(name: str, datatype: str, *shape: int) -> dict:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


class Upscaler(Served):
    """Real-ESRGAN on ncnn: floating point from 0 to 1, in planes, as in its exports for Triton."""

    inputs: ClassVar = [tensor("INPUT__0", "FP32", -1, 3, -1, -1)]
    outputs: ClassVar = [tensor("OUTPUT__0", "FP32", -1, 3, -1, -1)]

    def __init__(self, name: str, net: ncnn.Net) -> None:
        super().__init__(name)
        self.net = net

    def enlarged(self, planes: np.ndarray) -> np.ndarray:
        planes = np.ascontiguousarray(planes)  # kept by a name: a Mat does not keep its data alive
        with self.net.create_extractor() as extractor:
            extractor.input("data", ncnn.Mat(planes).clone())
            code, made = extractor.extract("output")
        assert not code
        return np.asarray(made).copy()

    async def predict(self, payload: InferRequest, headers: dict | None = None) -> InferResponse:
        values = payload.inputs[0].as_numpy()
        if values.ndim != 4 or values.shape[1] != 3:
            raise InvalidInput(f"unexpected shape {list(values.shape)}")
        made = await asyncio.to_thread(self.enlarged, values[0])
        return self.answer(payload, made[np.newaxis])


class ByteUpscaler(Upscaler):
    """The same on bytes, in BGR pixels, for tiles of one size only, with typed contents in its answers."""

    SIDE = 96
    inputs: ClassVar = [tensor("pixels", "UINT8", SIDE, SIDE, 3)]
    outputs: ClassVar = [tensor("larger", "UINT8", SIDE * 4, SIDE * 4, 3)]

    async def predict(self, payload: InferRequest, headers: dict | None = None) -> InferResponse:
        values = payload.inputs[0].as_numpy()
        if values.shape != (self.SIDE, self.SIDE, 3):
            raise InvalidInput(f"unexpected shape {list(values.shape)}")
        planes = values[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / 255
        made = (await asyncio.to_thread(self.enlarged, planes)).transpose(1, 2, 0)[:, :, ::-1] * 255 + 0.5
        return self.answer(payload, made.clip(0, 255).astype(np.uint8), raw=False)


class Painter(Served):
    """Draws a gradient of the seed's colors, and as many lines as the prompt has words. Not a diffusion model."""

    inputs: ClassVar = [
        tensor("PROMPT", "BYTES", 1),
        tensor("SEED", "INT64", 1),
        tensor("WIDTH", "INT32", 1),
        tensor("HEIGHT", "INT32", 1),
        tensor("STEPS", "INT32", 1),
        tensor("FEW", "UINT8", 1),
    ]
    outputs: ClassVar = [tensor("IMAGE", "UINT8", -1, -1, -1, 3)]

    def painted(self, payload: InferRequest) -> np.ndarray:
        given = {each.name: each.as_numpy().ravel()[0] for each in payload.inputs}
        if missing := {"WIDTH", "HEIGHT"} - given.keys():
            raise InvalidInput(f"{min(missing)} is missing")
        width, height, words = int(given["WIDTH"]), int(given["HEIGHT"]), given["PROMPT"].decode().split()
        colors = np.random.default_rng(int(given["SEED"])).integers(0, 256, (2, 3))
        down = np.linspace(0, 1, height)[:, None, None]
        picture = (colors[0] * (1 - down) + colors[1] * down + np.zeros((height, width, 3))).astype(np.uint8)
        for index in range(len(words)):
            picture[height * (index + 1) // (len(words) + 1)] = 255
        picture[0, 0] = int(given.get("STEPS", 0))
        return picture

    async def predict(self, payload: InferRequest, headers: dict | None = None) -> InferResponse:
        return self.answer(payload, self.painted(payload)[np.newaxis])


class Encoder(Painter):
    """The same gradient, as an encoded image."""

    outputs: ClassVar = [tensor("PNG", "BYTES", 1)]

    async def predict(self, payload: InferRequest, headers: dict | None = None) -> InferResponse:
        encoded = io.BytesIO()
        Image.fromarray(self.painted(payload)).save(encoded, "PNG")
        return self.answer(payload, np.array([encoded.getvalue()], dtype=np.object_))


class Classifier(Served):
    """Finds the strongest of red, green and blue, in ImageNet's values; the first of its four classes has no name."""

    inputs: ClassVar = [tensor("image", "FP32", 1, 3, 48, 64)]
    outputs: ClassVar = [tensor("logits", "FP32", 1, 4)]

    async def predict(self, payload: InferRequest, headers: dict | None = None) -> InferResponse:
        values = payload.inputs[0].as_numpy()
        if values.shape != (1, 3, 48, 64):
            raise InvalidInput(f"unexpected shape {list(values.shape)}")
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        means = (values[0].mean(axis=(1, 2)) * std + mean) * 10
        return self.answer(payload, np.array([[-50, *means]], np.float32))


class Cutter(Served):
    """Treats bright pixels as foreground."""

    inputs: ClassVar = [tensor("image", "FP32", 1, 3, 64, 64)]
    outputs: ClassVar = [tensor("matte", "FP16", 1, 1, 64, 64)]

    async def predict(self, payload: InferRequest, headers: dict | None = None) -> InferResponse:
        bright = payload.inputs[0].as_numpy().mean(axis=1, keepdims=True) > 0.5
        return self.answer(payload, bright.astype(np.float16))


class Sleeper(Served):
    """Answers only when cancelled, and writes the cancel to the file that the variable names."""

    inputs: ClassVar = Upscaler.inputs
    outputs: ClassVar = Upscaler.outputs

    async def predict(self, payload: InferRequest, headers: dict | None = None) -> InferResponse:
        self.note("began")
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.note("cancelled")
            raise
        raise AssertionError

    def note(self, word: str) -> None:
        with Path(os.environ["SLEEPER_LOG"]).open("a") as log:
            log.write(word + "\n")


def network(folder: Path) -> ncnn.Net:
    (param,) = folder.glob("*.param")
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_vulkan_compute = False
    assert not net.load_param(str(param))
    assert not net.load_model(str(param.with_suffix(".bin")))
    return net


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[model_server.parser])
    parser.add_argument("--weights", type=Path, required=True)
    net = network(parser.parse_args().weights)
    models = [Upscaler("realesrgan", net), ByteUpscaler("realesrgan-bytes", net)]
    models += [Painter("painter"), Encoder("encoder"), Classifier("classifier"), Cutter("cutter"), Sleeper("sleeper")]
    ModelServer().start(models)
