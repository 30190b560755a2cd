"""Makes nsfwjs.onnx: converts the MobileNet v2 of a pinned npm package from Keras layers and 8-bit weights to ONNX.

`make nsfwjs` runs this script. It needs `npm`, `node` and a network. The engine reads only the resulting file. Weights
keep their 8 bits, with a scale and a minimum per tensor, and are converted to floats when the file is loaded.
One-dimensional weights are written as floats, since they are few.
"""

import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

HERE = Path(__file__).parent
PACKAGE = "nsfwjs@4.4.0"
DIGEST = "585cd178f3b994337c4d10a87b080d342fc52f8b9bf0085c4d1f345a3a1c5382"
FOLDER = "package/dist/models/mobilenet_v2"
OPSET, IR = 17, 8


def fetched(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]], bytes]:
    """Returns the layers, the descriptions of the weights, and their bytes, after checking the tarball's SHA-256."""
    npm = ["npm", "pack", "--silent", PACKAGE]
    name = subprocess.run(npm, cwd=folder, check=True, capture_output=True, text=True).stdout.split()[-1]
    found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    if found != DIGEST:
        raise SystemExit(f"{PACKAGE}: SHA-256 is {found}, expected {DIGEST}")
    with tarfile.open(folder / name) as tar:
        for file in ("model.min.js", "group1-shard1of1.min.js"):
            tar.extract(f"{FOLDER}/{file}", folder, filter="data")
    # The files are JavaScript modules that export data, so node reads them.
    show = 'const [a, b] = ["model.min.js", "group1-shard1of1.min.js"].map(f => require("./" + f));'
    node = ["node", "-p", f"{show} JSON.stringify([a, b])"]
    made = subprocess.run(node, cwd=folder / FOLDER, check=True, capture_output=True, text=True)
    model, weights = json.loads(made.stdout)
    decode = ["node", "-e", "process.stdout.write(Buffer.from(require('fs').readFileSync(0, 'latin1'), 'base64'))"]
    data = subprocess.run(decode, check=True, capture_output=True, input=weights.encode()).stdout
    return model["modelTopology"]["model_config"]["config"]["layers"], model["weightsManifest"][0]["weights"], data


class Graph:
    """The ONNX graph being built; a tensor is named after the layer that makes it."""

    def __init__(self, weights: dict[str, tuple[NDArray[np.uint8], float, float]]) -> None:
        self._weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Adds a node and returns its output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        """Adds a constant and returns its name."""
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def weight(self, name: str, axes: tuple[int, ...] | None = None) -> str:
        """Adds a weight, transposed if `axes` are given, and returns its name."""
        value, scale, least = self._weights[name]
        if value.ndim == 1:
            return self.constant(name, value.astype(np.float32) * np.float32(scale) + np.float32(least))
        bits = self.constant(f"{name}/bits", value.transpose(axes) if axes else value)
        real = self.add("Cast", [bits], f"{name}/cast", to=onnx.TensorProto.FLOAT)
        wide = self.add("Mul", [real, self.constant(f"{name}/scale", np.float32(scale))], f"{name}/scaled")
        return self.add("Add", [wide, self.constant(f"{name}/least", np.float32(least))], name)

    def layer(self, kind: str, settings: dict[str, Any], inputs: list[str]) -> str:
        """Adds a Keras layer and returns the name of its output; images have the layout N, C, H, W here."""
        name = settings["name"]
        match kind:
            case "InputLayer":
                return self.add("Transpose", ["pixels"], name, perm=[0, 3, 1, 2])
            case "ZeroPadding2D":
                (top, bottom), (left, right) = settings["padding"]
                pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
                return self.add("Pad", [*inputs, self.constant(f"{name}/pads", pads)], name)
            case "Conv2D" | "DepthwiseConv2D":
                assert not settings["use_bias"] and settings["activation"] == "linear"
                deep = kind == "DepthwiseConv2D"
                key = f"{name}/{'depthwise_kernel' if deep else 'kernel'}"
                group = self._weights[key][0].shape[2] if deep else 1
                kernel = self.weight(key, (2, 3, 0, 1) if deep else (3, 2, 0, 1))
                pad = "SAME_UPPER" if settings["padding"] == "same" else "VALID"
                return self.add("Conv", [*inputs, kernel], name, auto_pad=pad, strides=settings["strides"], group=group)
            case "BatchNormalization":
                parts = [self.weight(f"{name}/{part}") for part in ("gamma", "beta", "moving_mean", "moving_variance")]
                return self.add("BatchNormalization", [*inputs, *parts], name, epsilon=settings["epsilon"])
            case "ReLU":
                limits = [self.constant(f"{name}/{end}", np.float32(end)) for end in (0, settings["max_value"])]
                return self.add("Clip", [*inputs, *limits], name)
            case "Add":
                return self.add("Add", inputs, name)
            case "AveragePooling2D":
                size = settings["pool_size"]
                return self.add("AveragePool", inputs, name, kernel_shape=size, strides=settings["strides"])
            case "Flatten":
                return self.add("Flatten", inputs, name)
            case "Dropout":
                return inputs[0]
            case "Dense":
                wide = self.add("MatMul", [*inputs, self.weight(f"{name}/kernel")], f"{name}/product")
                sums = self.add("Add", [wide, self.weight(f"{name}/bias")], f"{name}/sums")
                return self.add({"relu": "Relu", "softmax": "Softmax"}[settings["activation"]], [sums], name)
            case other:
                raise SystemExit(f"the layer type {other} is unknown")


def main() -> None:
    """Writes nsfwjs.onnx beside this script."""
    with tempfile.TemporaryDirectory() as folder:
        layers, said, data = fetched(Path(folder))
    weights, start = {}, 0
    for weight in said:
        size = int(np.prod(weight["shape"]))
        value = np.frombuffer(data, np.uint8, size, start).reshape(weight["shape"])
        weights[weight["name"]] = value, weight["quantization"]["scale"], weight["quantization"]["min"]
        start += size
    if start != len(data):
        raise SystemExit(f"the weights have {len(data)} bytes, expected {start}")
    graph = Graph(weights)
    made: dict[str, str] = {}
    for layer in layers:
        inputs = [made[source[0]] for source in layer["inbound_nodes"][0]] if layer["inbound_nodes"] else []
        last = made[layer["config"]["name"]] = graph.layer(layer["class_name"], layer["config"], inputs)
    pixels = helper.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, ["n", 224, 224, 3])
    shares = helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, ["n", 5])
    whole = helper.make_graph(graph.nodes, "nsfwjs mobilenet_v2", [pixels], [shares], graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    model.producer_name, model.doc_string = "celeste", f"{PACKAGE}, {FOLDER}; see NOTICE"
    onnx.checker.check_model(model, full_check=True)
    packed = model.SerializeToString(deterministic=True)
    (HERE / "nsfwjs.onnx").write_bytes(packed)
    print(f"{len(weights)} tensors, {len(packed)} bytes, SHA-256 {hashlib.sha256(packed).hexdigest()}")


if __name__ == "__main__":
    main()
