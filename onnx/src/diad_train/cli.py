"""Command line: `diad-train fit | export | evaluate`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from diad_train.config import Config, ConfigError, load
from diad_train.data import DataError, load_good
from diad_train.evaluate import evaluate, sheet
from diad_train.fit import STAGES, fit
from diad_train.model.diad import DiAD
from diad_train.stages import held_out


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="diad-train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("fit", help="train on a folder of good parts; resumes where it stopped")
    train.add_argument("config", type=Path)
    train.add_argument("--data", help="folder in MVTec-AD layout; overrides train.data")
    train.add_argument("--teacher", help="ImageNet MobileNetV2 safetensors; overrides train.teacher")
    train.add_argument("--run", type=Path, required=True, help="folder of checkpoints and logs")
    train.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="which stages, in order")
    train.add_argument("--start-from", type=Path, help="model.pt of an earlier run")
    train.add_argument("--workers", type=int, default=0, help="processes that draw synthetic defects")
    out = commands.add_parser("export", help="write a trained run as a bundle")
    out.add_argument("config", type=Path)
    out.add_argument("--data", help="the folder it was trained on; its held-out good parts calibrate the scores")
    out.add_argument("--run", type=Path, required=True)
    out.add_argument("--out", type=Path, required=True, help="folder of the bundle; replaced as a whole")
    measure = commands.add_parser("evaluate", help="image and pixel AUROC on a data set, in PyTorch")
    measure.add_argument("config", type=Path)
    measure.add_argument("--run", type=Path, required=True)
    measure.add_argument("--data", required=True, help="folder in MVTec-AD layout")
    measure.add_argument("--sheet", type=Path, help="write a picture sheet of input, reconstruction and map")
    return parser


def _trained(config: Config, run: Path) -> DiAD:
    model = DiAD(config.model, noise_seed=config.train.seed)
    path = run / "model.pt"
    if not path.exists():
        raise DataError(f"{path}: no such file; run `diad-train fit` to its end first")
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
    return model.eval()


def _fit(arguments: argparse.Namespace) -> None:
    config = _config(arguments)
    fit(config, arguments.run, wanted=tuple(arguments.stages), start_from=arguments.start_from)


def _export(arguments: argparse.Namespace) -> None:
    from diad_train.export import export

    config = _config(arguments)
    good = load_good(Path(config.train.data), size=config.model.image_size)
    export(_trained(config, arguments.run), config, good=good, held_out=held_out(good), out=arguments.out)


def _evaluate(arguments: argparse.Namespace) -> None:
    config = load(arguments.config)
    model = _trained(config, arguments.run)
    table = evaluate(model.inspect, Path(arguments.data), size=config.model.image_size)
    for product, (image, pixel) in table.items():
        print(f"{product:16} image AUROC {image:.3f}   pixel AUROC {pixel:.3f}")
    if arguments.sheet is not None:
        sheet(model.inspect, Path(arguments.data), size=config.model.image_size).save(arguments.sheet)


def _config(arguments: argparse.Namespace) -> Config:
    config = load(arguments.config)
    given = {name: getattr(arguments, name, None) for name in ("data", "teacher", "workers")}
    changes = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))


def main() -> int:
    """Entry point; returns the exit code (0 done, 65 bad data, 78 settings)."""
    arguments = _parser().parse_args()
    try:
        {"fit": _fit, "export": _export, "evaluate": _evaluate}[arguments.command](arguments)
    except ConfigError as error:
        print(f"diad-train: {error}", file=sys.stderr)
        return 78
    except DataError as error:
        print(f"diad-train: {error}", file=sys.stderr)
        return 65
    return 0


if __name__ == "__main__":
    sys.exit(main())
