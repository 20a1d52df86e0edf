#!/usr/bin/env python3
"""The score of one picture from a model bundle, without this project: numpy, Pillow, SciPy and ONNX Runtime.

Usage: run_bundle.py BUNDLE PICTURE      prints the score that `diad inspect PICTURE --model BUNDLE` prints
       run_bundle.py BUNDLE PICTURE PRODUCT FOUNDATIONS
           the same for a product with an overlay in the bundle, as `--product PRODUCT`: its banks join in. FOUNDATIONS
           is the folder that `make setup-foundation` fills. Takes safetensors as well.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter, zoom

folder, picture = Path(sys.argv[1]), sys.argv[2]
product, foundations = sys.argv[3:5] if len(sys.argv) > 3 else (None, "")
m = json.loads((folder / "manifest.json").read_text())
run = {name: ort.InferenceSession(str(folder / graph["file"])).run for name, graph in m["graphs"].items()}


def prepared(spec):
    """The picture as a network takes it, [1, 3, height, width]."""
    size = (spec["width"], spec["height"])
    rgb = np.asarray(Image.open(picture).convert("RGB").resize(size, Image.Resampling.BILINEAR), np.float32) / 255
    return ((rgb - np.float32(spec["mean"])) / np.float32(spec["std"])).transpose(2, 0, 1)[None]


size, image = (m["input"]["width"], m["input"]["height"]), prepared(m["input"])

# The encoder's mean times latent.scale is the latent that everything below works on, the decoder too.
channels = m["graphs"]["denoiser"]["inputs"][0]["shape"][1]
latent = run["encoder"](None, {"image": image})[0][:, :channels] * m["latent"]["scale"]
s = m["schedule"]
bar = np.cumprod(1 - np.linspace(s["beta_start"] ** 0.5, s["beta_end"] ** 0.5, s["train_steps"]) ** 2)
noise = np.fromfile(folder / m["start_noise"]["file"], "<f4").reshape(latent.shape)
steps, start = m["sampler"]["steps"], bar[m["sampler"]["start"]]
z = (start**0.5 * latent + (1 - start) ** 0.5 * noise).astype(np.float32)
hint = run["hint"](None, {"image": image})[0]
for t, before in zip(steps, [*steps[1:], m["sampler"]["last_previous"]], strict=True):
    e = run["denoiser"](None, {"latent": z, "hint": hint, "t": np.array([t])})[0]
    clean = (z - (1 - bar[t]) ** 0.5 * e) / bar[t] ** 0.5
    z = (bar[before] ** 0.5 * clean + (1 - bar[before]) ** 0.5 * e).astype(np.float32)
rebuilt = run["decoder"](None, {"latent": z})[0]

total = np.zeros(size[::-1])
for weight, layer in zip(
    m["map"]["layer_weights"], run["features"](None, {"image": np.concatenate([image, rebuilt])}), strict=True
):
    a, b = layer
    cosine = (a * b).sum(0) / np.maximum(np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0), 1e-8)
    total += weight * zoom(1 - cosine, np.array(total.shape) / cosine.shape, order=1, grid_mode=False)

overlays = {overlay["product"]: overlay["file"] for overlay in m.get("overlays", [])}
if product in overlays:
    from safetensors import safe_open

    overlay = safe_open(str(folder / overlays[product]), "numpy")
    diad, total = total, np.zeros_like(total)
    for entry in json.loads(overlay.metadata()["diad"])["join"]:
        raw = diad
        if entry["witness"] != "diad":  # bank:<foundation>, the distance of every patch to the nearest good one
            home = Path(foundations) / entry["witness"].removeprefix("bank:")
            f = json.loads((home / "foundation.json").read_text())
            patches = ort.InferenceSession(str(home / f["file"])).run(None, {f["input"]["name"]: prepared(f["input"])})[
                0
            ][0]
            groups = np.split(patches, np.cumsum(f["groups"])[:-1])  # each of length 1, and all of them together
            patches = np.concatenate([g / np.linalg.norm(g, axis=0) for g in groups]) / len(groups) ** 0.5
            products = np.tensordot(overlay.get_tensor(entry["witness"]).astype(np.float32), patches, 1)
            raw = np.maximum(2 - 2 * products.max(0), 0) ** 0.5
            raw = zoom(raw, np.array(total.shape) / raw.shape, order=1, grid_mode=True, mode="nearest")
        total += entry["weight"] * 0.01 / max(entry["sd"], 1e-6) * raw
anomaly_map = gaussian_filter(total, m["map"]["blur_sigma_px"], truncate=m["map"]["blur_truncate"], mode="reflect")
pooled, w = anomaly_map, m["score"]["window_px"]
for _ in range(m["score"]["times"]):  # every window that lies inside of the map
    pooled = uniform_filter(pooled, w)[w // 2 : pooled.shape[0] - (w - 1) // 2, w // 2 : pooled.shape[1] - (w - 1) // 2]
print(f"{pooled.max():.6f}")
