"""The script in `docs` that runs a bundle without this project gets the score of the station's program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from diad_train.representation.bundle import embed
from PIL import Image

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "run_bundle.py"
SHIPPED = ROOT / "onnx" / "models" / "diad-tiny"
JOINED = ROOT / "onnx" / "models" / "real-mc-joined"
FIXTURES = ROOT / "crates" / "diad_engine" / "tests" / "fixtures"
# The script has six digits; sums of thousands of float32 are in another order than in the program.
TOLERANCE = 5e-6


def program() -> Path:
    paths = (ROOT / "target" / profile / "diad" for profile in ("debug", "release"))
    built = [path for path in paths if path.exists()]
    if not built:
        pytest.skip(f"{ROOT / 'target'}: no diad program is built; `cargo build -p diad` makes it")
    return max(built, key=lambda path: path.stat().st_mtime)


def diad(*arguments: object, state: Path, foundations: Path = FIXTURES / "foundation") -> str:
    environment = os.environ | {"DIAD_STATE": str(state), "DIAD_FOUNDATIONS": str(foundations), "DIAD_LOG": "error"}
    command = [str(part) for part in (program(), *arguments)]
    return subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True, text=True).stdout


def of_script(*arguments: object) -> float:
    command = [str(part) for part in (sys.executable, SCRIPT, *arguments)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def of_program(bundle: Path, picture: Path, *arguments: object, state: Path) -> float:
    shown = json.loads(diad("inspect", picture, "--model", bundle, "--json", *arguments, state=state))
    score: float = shown["images"][0]["score"]
    return score


def picture(path: Path, side: int, seed: int) -> Path:
    """Stripes with a little noise, and on odd seeds a spot."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    stripes = 120 + 60 * np.sin(x / 5.0)[..., None] * np.cos(y / 9.0)[..., None] * np.ones(3)
    if seed % 2:
        stripes[side // 3 : side // 2, side // 3 : side // 2] = (230, 20, 40)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((stripes + rng.normal(0, 6, stripes.shape)).clip(0, 255).astype(np.uint8)).save(path)
    return path


# Another size than the model's: the script resizes as the program does.
@pytest.mark.parametrize("side", [256, 310])
def test_script_gets_the_score_of_the_shipped_model(side: int, tmp_path: Path) -> None:
    part = picture(tmp_path / "part.png", side, seed=1)
    want = of_program(SHIPPED, part, state=tmp_path)
    assert want > 0.01
    assert abs(of_script(SHIPPED, part) - want) < TOLERANCE


def test_script_gets_the_score_of_a_product_that_was_learnt_and_put_into_the_bundle(tmp_path: Path) -> None:
    for seed in range(0, 16, 2):
        picture(tmp_path / "good" / f"{seed}.png", 80, seed)
    micro, bundle = FIXTURES / "micro", tmp_path / "bundle"
    learn = ("learn", "--product", "washer", tmp_path / "good", "--model", micro, "--rows", 50, "--force")
    diad(*learn, state=tmp_path / "state")
    overlays = list((tmp_path / "state" / "products" / "washer").glob("*.safetensors"))
    assert len(overlays) == 1
    embed(micro, overlays, bundle)
    for side, seed in ((80, 21), (96, 22)):
        part = picture(tmp_path / f"{seed}.png", side, seed)
        # The state folder is empty: what was learnt comes with the bundle.
        joined = of_program(bundle, part, "--product", "washer", state=tmp_path / "nothing")
        alone = of_program(bundle, part, state=tmp_path / "nothing")
        assert abs(joined - alone) > 100 * TOLERANCE
        assert abs(of_script(bundle, part, "washer", FIXTURES / "foundation") - joined) < TOLERANCE
        assert abs(of_script(bundle, part) - alone) < TOLERANCE


def test_script_gets_the_score_of_the_joined_bundle(tmp_path: Path) -> None:
    fetched = ROOT / "target" / "foundation"
    if not all((fetched / name / "foundation.json").exists() for name in ("dinov2-s", "efficientnet-lite2")):
        pytest.skip(f"{fetched} has not both foundations; `make setup-foundation` fetches them")
    part = picture(tmp_path / "part.png", 256, seed=1)
    command = ("inspect", part, "--model", JOINED, "--product", "bottle", "--json")
    shown = json.loads(diad(*command, state=tmp_path, foundations=fetched))["images"][0]
    assert set(shown["witnesses"]) == {"diad", "bank:dinov2-s", "bank:efficientnet-lite2"}
    # Two versions of ONNX Runtime may round the 8-bit foundation differently.
    assert abs(of_script(JOINED, part, "bottle", fetched) - shown["score"]) < 0.01 * shown["score"]
