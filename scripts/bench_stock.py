#!/usr/bin/env python3
"""The paper's network at stock size: import, inspect and bench of a synthetic checkpoint, beside PyTorch unfolded.

    .venv/bin/python scripts/bench_stock.py --work /var/tmp/stock [--size 256] [--width 320] [--steps 10]

Weights are random (their values do not change the cost), so nothing here says anything about accuracy. Needs a release
build of `diad`, 20 GiB of disk and 20 GiB of memory at stock size; prints one Markdown table. What PyTorch runs is the
released program's work: both guidance passes with the hint in each, one decode, the features of both pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from diad_train.config import AutoencoderConfig, DenoiserConfig, FeaturesConfig, ModelConfig
from diad_train.exchange.importer import Extras, import_checkpoint, theirs
from diad_train.model.diad import DiAD
from diad_train.model.resnet import ResNet50
from diad_train.schedule import Sampler
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
GIB = 1 << 20  # kilobytes, as getrusage counts


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoint and bundle; reused if there")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument(
        "--width", type=int, default=320, help="of the U-Net; 320 is stock, for which the others follow"
    )
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=120, help="how long `diad bench` may run")
    parser.add_argument("--diad", type=Path, default=ROOT / "target" / "release" / "diad", help="the program")
    parser.add_argument("--torch-only", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def synthetic(shapes: dict[str, torch.Size]) -> dict[str, torch.Tensor]:
    """Weights that keep activations near unit size: 1 / sqrt(fan-in), norms near one."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for key, shape in shapes.items():
        value = torch.empty(shape).normal_(generator=generator)
        if len(shape) >= 2:
            value *= np.prod(shape[1:]) ** -0.5
        elif key.endswith("running_var"):
            value = 1.0 + 0.1 * value.abs()
        else:
            value = 0.1 * value + (1.0 if key.endswith("weight") else 0.0)
        state[key] = value
    return state


def make_checkpoint(work: Path, options: argparse.Namespace) -> None:
    """Writes everything that an import takes, and a picture."""
    config = ModelConfig(
        image_size=options.size,
        autoencoder=AutoencoderConfig(width=max(32, options.width * 2 // 5)),
        denoiser=DenoiserConfig(width=options.width),
        features=FeaturesConfig(kind="resnet50"),
        sampler=Sampler.spaced(options.steps),
    )
    with torch.device("meta"):
        model = DiAD(config)
    given = ("features.", "latent_scale", "start_noise", "denoiser.context")
    shapes = {theirs(key): value.shape for key, value in model.state_dict().items() if not key.startswith(given)}
    torch.save({"state_dict": synthetic(shapes)}, work / "model.ckpt")
    resnet = {key: value.shape for key, value in ResNet50().state_dict().items() if value.is_floating_point()}
    torch.save(synthetic(resnet), work / "resnet50.pth")
    np.save(work / "context.npy", np.random.default_rng(2).standard_normal((77, 768), dtype=np.float32))
    colours = np.random.default_rng(3).integers(0, 255, (options.size, options.size, 3), dtype=np.uint8)
    Image.fromarray(colours).save(work / "part.png")


@torch.inference_mode()
def unfolded_seconds(work: Path, options: argparse.Namespace) -> float:
    """One image through the released program's work in PyTorch."""
    extras = Extras(work / "context.npy", work / "resnet50.pth")
    model = import_checkpoint(
        work / "model.ckpt", extras, size=options.size, steps=options.steps, heads=8, name="stock"
    )
    image = torch.randn(1, 3, options.size, options.size)
    began = time.perf_counter()
    z = model.encode(image)
    for step, (c0, c1) in zip(model.config.sampler.steps, model.config.sampler.coefficients(), strict=True):
        t = torch.tensor([step])
        for _ in range(2):
            noise = model.denoiser(z, model.denoiser.control_model.hint(image), t)
        z = float(c0) * z + float(c1) * noise
    model.raw_map(image, model.decode(z))
    return time.perf_counter() - began


def timed(command: list[str]) -> tuple[float, float, str]:
    """Seconds, GiB at the peak, and standard output of a command."""
    before = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)}: ended with status {status}")
    return time.perf_counter() - before, usage.ru_maxrss / GIB, out


def main() -> None:
    """Imports, inspects, benches, and prints the table."""
    options = arguments()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    if options.torch_only:
        print(json.dumps({"seconds": unfolded_seconds(work, options)}))
        return
    if not (work / "part.png").exists():
        make_checkpoint(work, options)
    rows = []
    bundle = work / "bundle"
    if not (bundle / "manifest.json").exists():
        files = ["--context", "context.npy", "--features", "resnet50.pth", "--checkpoint", "model.ckpt"]
        paths = [str(work / part) if "." in part else part for part in files]
        sizes = ["--size", str(options.size), "--steps", str(options.steps)]
        command = [sys.executable, "-m", "diad_train.cli", "import", *paths, *sizes, "--out", str(bundle)]
        rows.append(("import", *timed(command)[:2]))
    seconds, memory, _ = timed([str(options.diad), "inspect", str(work / "part.png"), "--model", str(bundle), "--json"])
    rows.append(("diad inspect, loading included", seconds, memory))
    command = [str(options.diad), "bench", "--model", str(bundle), "--seconds", str(options.seconds), "--json"]
    _, memory, out = timed(command)
    median = json.loads(out)["latency_ms"]["p50"] / 1000.0
    rows.append(("a part, folded, diad bench (median)", median, memory))
    again = [sys.executable, __file__, *sys.argv[1:], "--torch-only"]
    _, memory, out = timed(again)
    unfolded = json.loads(out.splitlines()[-1])["seconds"]
    rows.append(("a part, unfolded, PyTorch", unfolded, memory))
    print("| what | seconds | GiB at the peak |\n|---|---|---|")
    for what, seconds, memory in rows:
        print(f"| {what} | {seconds:.1f} | {memory:.1f} |")
    size = sum(file.stat().st_size for file in bundle.iterdir()) / (1 << 30)
    print(f"\nfolded takes {unfolded / median:.2f} times fewer seconds; the bundle has {size:.2f} GiB")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
