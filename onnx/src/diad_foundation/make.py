"""Writes a foundation: `python -m diad_foundation.make WEIGHTS --name NAME --out DIR`."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic

from diad_foundation import weights
from diad_foundation.networks import OUTPUT, Network, WeightsError, network_of

FORMAT = 1
GRAPH_FILE = "foundation.onnx"
SPEC_FILE = "foundation.json"
# Least mean cosine between the patches of int8 and float32.
LEAST_COSINE = 0.99


def write(network: Network, name: str, source: dict[str, str], folder: Path, precision: str = "fp32") -> str:
    """Writes graph and description, the description last. Returns the digest of the graph.

    Raises:
        WeightsError: the graph gives numbers that are not finite, or patches that are not of length 1, or in int8
            patches too far from those of float32.
    """
    data = network.model.SerializeToString(deterministic=True)
    exact = patches_of(data, network)
    if precision == "int8":
        data = quantised(network)
        cosine = float((patches_of(data, network) * exact).sum(axis=1).mean())
        if not cosine >= LEAST_COSINE:
            raise WeightsError(
                f"int8 patches have a mean cosine of {cosine:.4f} with float32's; {LEAST_COSINE} is asked"
            )
    digest = hashlib.sha256(data).hexdigest()
    spec = {
        "format": FORMAT,
        "name": name,
        "file": GRAPH_FILE,
        "sha256": digest,
        "input": {
            "name": "image",
            "width": network.width,
            "height": network.height,
            "mean": list(network.mean),
            "std": list(network.std),
        },
        "output": {"name": OUTPUT, "shape": [sum(network.groups), *network.grid]},
        "groups": list(network.groups),
        "source": source,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GRAPH_FILE).write_bytes(data)
    (folder / SPEC_FILE).write_text(json.dumps(spec, indent=2) + "\n")
    return digest


def quantised(network: Network) -> bytes:
    """The graph with the matrix products in int8: weights by channel, activations by picture (so feed one at a time).

    Weights take seven of the eight bits: on CPUs without VNNI two products of eight bits overflow.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        onnx.save(network.model, plain)
        quantize_dynamic(
            plain,
            small,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,
        )
        model = onnx.load(small)
    del model.metadata_props[:]
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def patches_of(data: bytes, network: Network) -> NDArray[np.float64]:
    """Runs a graph once on a smooth picture and checks what it gives."""
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    y, x = np.mgrid[0 : network.height, 0 : network.width].astype(np.float32) / network.width
    image = np.stack([x - y, x + y - 1, np.sin(9 * x)]).astype(np.float32)[None]
    patches: NDArray[np.float64] = session.run([OUTPUT], {"image": image})[0].astype(np.float64)
    want = (1, sum(network.groups), *network.grid)
    lengths = np.sqrt((patches**2).sum(axis=1))
    if patches.shape != want or not np.allclose(lengths, 1.0, atol=1e-3):
        raise WeightsError(f"the network gives patches {patches.shape} of length {lengths.min()} to {lengths.max()}")
    return patches


def main(arguments: list[str] | None = None) -> int:
    """The command; 0, or 65 for weights that cannot be used."""
    parser = argparse.ArgumentParser(prog="diad_foundation.make", description=__doc__)
    parser.add_argument("weights", type=Path, help="file of weights: .pth, .safetensors or .onnx")
    parser.add_argument("--name", required=True, help="name of the foundation, for example efficientnet-lite2")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write foundation.onnx and foundation.json to"
    )
    parser.add_argument(
        "--precision", choices=("fp32", "int8"), default="fp32", help="of the matrix products; int8 for transformers"
    )
    parser.add_argument("--package", default="", help="package that the weights came in")
    parser.add_argument("--version", default="", help="version of that package")
    parser.add_argument("--sha256", default="", help="digest of that package")
    parser.add_argument("--licence", default="as the file's publisher states", help="licence of the weights")
    parser.add_argument("--expect", default="", help="sha256 that the written graph must have")
    args = parser.parse_args(arguments)
    source = {
        "package": args.package,
        "version": args.version,
        "sha256": args.sha256,
        "file": args.weights.name,
        "licence": args.licence,
    }
    try:
        digest = write(network_of(weights.load(args.weights)), args.name, source, args.out, args.precision)
    except WeightsError as error:
        print(f"diad_foundation: {error}", file=sys.stderr)
        return 65
    print(f"{args.out / GRAPH_FILE}: sha256 {digest}")
    if args.expect and args.expect != digest:
        print(
            f"diad_foundation: the graph should have sha256 {args.expect}; bundles that name it will refuse this one. "
            "Use the versions of onnx and numpy that scripts/setup_foundation.sh installs",
            file=sys.stderr,
        )
        return 65
    return 0


if __name__ == "__main__":
    sys.exit(main())
