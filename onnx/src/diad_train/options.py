"""Options of the command line, a function for each command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from diad_train.exchange.export import PRECISIONS
from diad_train.representation.stage import DEFAULT
from diad_train.train.order import STAGE_NAMES

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """The parser of all commands; the name of the command is stored as `command`."""
    parser = argparse.ArgumentParser(prog="diad-train", description=description)
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (_fit, _export, _import, _represent, _embed, _evaluate, _study):
        add(commands)
    return parser


def _fit(commands: Commands) -> None:
    parser = commands.add_parser("fit", help="train on a folder of good parts; resumes where it stopped")
    parser.add_argument("config", type=Path, nargs="?", help="settings; without them, those of the shipped model")
    parser.add_argument("--data", help="folder in MVTec-AD layout; overrides train.data")
    parser.add_argument("--teacher", help="folder of a convolutional foundation; overrides train.teacher")
    parser.add_argument("--run", type=Path, help="folder of checkpoints and logs; runs/<name of the model> by default")
    parser.add_argument(
        "--stages", nargs="+", choices=STAGE_NAMES, default=list(STAGE_NAMES), help="which stages, in order"
    )
    parser.add_argument(
        "--start-from",
        type=Path,
        help="model.pt of an earlier run, a bundle trained here, or a checkpoint of Stable Diffusion or kl-f8",
    )
    parser.add_argument(
        "--context", help=".npy or CLIP folder for networks with cross-attention; overrides train.context"
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave out pictures that cannot be read, naming them")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw synthetic defects")


def _export(commands: Commands) -> None:
    parser = commands.add_parser("export", help="write a trained run as a bundle")
    parser.add_argument("config", type=Path, nargs="?", help="the settings it was trained with, as for fit")
    parser.add_argument("--data", help="the folder it was trained on; its held-out good parts calibrate the scores")
    parser.add_argument("--run", type=Path, help="as for fit")
    parser.add_argument("--skip-bad", action="store_true", help="as for fit")
    parser.add_argument("--features", type=Path, help="ResNet-50 of torchvision or timm, in place of the student")
    _bundle_options(parser)


def _import(commands: Commands) -> None:
    parser = commands.add_parser("import", help="write a checkpoint trained with the authors' code as a bundle")
    parser.add_argument("--checkpoint", type=Path, required=True, help=".ckpt, .pt or .safetensors")
    parser.add_argument(
        "--context", type=Path, required=True, help=".npy [77, 768], or a folder with a CLIP text encoder"
    )
    parser.add_argument("--features", type=Path, required=True, help="the ResNet-50 that the model was measured with")
    parser.add_argument("--posterior-noise", type=Path, help=".npy of one latent; without it, the mean")
    parser.add_argument("--start-noise", type=Path, help=".npy of one latent; without it, seeded noise")
    parser.add_argument("--size", type=int, default=256, help="side of the image in pixels")
    parser.add_argument(
        "--heads", type=int, default=8, help="attention heads: the one size that no key of the checkpoint states"
    )
    parser.add_argument("--steps", type=int, default=10, help="DDIM steps; ten are the authors', in their spacing")
    parser.add_argument(
        "--faithful", action="store_true", help="reject every option that would give other scores than theirs"
    )
    parser.add_argument("--name", default="imported", help="name in the manifest")
    parser.add_argument("--licence", default="unknown", help="licence of the weights, for the manifest")
    _bundle_options(parser)


def _represent(commands: Commands) -> None:
    parser = commands.add_parser("represent", help="train DiAD in a foundation's latent and add it to a bundle")
    parser.add_argument("--data", type=Path, required=True, help="folder in MVTec-AD layout")
    parser.add_argument("--bundle", type=Path, required=True, help="bundle of the pixel model")
    parser.add_argument("--foundation", type=Path, default=Path("target/foundation/dinov2-s"))
    parser.add_argument("--run", type=Path, required=True, help="folder of features, checkpoints and logs")
    parser.add_argument("--steps", type=int, default=DEFAULT.steps, help=f"training steps ({DEFAULT.steps})")
    parser.add_argument("--batch", type=int, default=DEFAULT.batch, help=f"parts a step ({DEFAULT.batch})")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip-bad", action="store_true", help="leave out pictures that cannot be read, naming them")
    _bundle_options(parser, precision="fp16")


def _embed(commands: Commands) -> None:
    parser = commands.add_parser("embed", help="put overlays that `diad learn` wrote for a bundle into the bundle")
    parser.add_argument("overlays", type=Path, nargs="+", help="overlay files, one a product")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the new bundle; may be the same")


def _evaluate(commands: Commands) -> None:
    parser = commands.add_parser("evaluate", help="image and pixel AUROC on a data set, in PyTorch")
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", required=True, help="folder in MVTec-AD layout")
    parser.add_argument("--sheet", type=Path, help="write a picture sheet of input, reconstruction and map")


def _study(commands: Commands) -> None:
    parser = commands.add_parser("study", help="compare step counts and solvers on held-out parts of a finished run")
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", help="the folder it was trained on")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--skip-bad", action="store_true", help="as for fit")
    parser.add_argument("--plot", type=Path, help="write a PNG of AUROC against time")


def _bundle_options(parser: argparse.ArgumentParser, precision: str = "fp32") -> None:
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the bundle; replaced as a whole but for its README.md"
    )
    parser.add_argument(
        "--precision", choices=tuple(PRECISIONS), default=precision, help="numbers the weights are stored as"
    )
