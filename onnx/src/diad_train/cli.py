"""Command line: `diad-train fit | export | import | represent | embed | evaluate | study`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from diad_train import study
from diad_train.config import Config, ConfigError, FeaturesConfig, load, recommended
from diad_train.evaluate import evaluate, sheet
from diad_train.exchange.checkpoint import CheckpointError, is_out_of_memory, mismatches, read_state
from diad_train.exchange.data import DataError, GoodParts, held_out, load_good
from diad_train.exchange.export import MODEL_CARD, PRECISIONS, ExportError, Options, export, provenance
from diad_train.exchange.importer import Extras, import_checkpoint
from diad_train.model.diad import DiAD
from diad_train.model.fold import dead_fusion
from diad_train.model.resnet import load_resnet50
from diad_train.representation.bundle import attach, embed
from diad_train.representation.features import Foundation, FoundationSpec, features_of
from diad_train.representation.model import RepresentationConfig, RepresentationDiAD
from diad_train.representation.stage import DEFAULT, train
from diad_train.train.fit import fit
from diad_train.train.order import NETWORKS, STAGE_NAMES
from diad_train.train.plan import plan
from diad_train.train.pool import pool_of
from diad_train.train.record import check, started_from


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="diad-train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("fit", help="train on a folder of good parts; resumes where it stopped")
    train.add_argument("config", type=Path, nargs="?", help="settings; without them, those of the shipped model")
    train.add_argument("--data", help="folder in MVTec-AD layout; overrides train.data")
    train.add_argument("--teacher", help="folder of a convolutional foundation; overrides train.teacher")
    train.add_argument("--run", type=Path, help="folder of checkpoints and logs; runs/<name of the model> by default")
    train.add_argument(
        "--stages", nargs="+", choices=STAGE_NAMES, default=list(STAGE_NAMES), help="which stages, in order"
    )
    train.add_argument(
        "--start-from",
        type=Path,
        help="model.pt of an earlier run, a bundle trained here, or a checkpoint of Stable Diffusion or kl-f8",
    )
    train.add_argument(
        "--context", help=".npy or CLIP folder for networks with cross-attention; overrides train.context"
    )
    train.add_argument("--skip-bad", action="store_true", help="leave out pictures that cannot be read, naming them")
    train.add_argument("--workers", type=int, default=0, help="processes that draw synthetic defects")
    out = commands.add_parser("export", help="write a trained run as a bundle")
    out.add_argument("config", type=Path, nargs="?", help="the settings it was trained with, as for fit")
    out.add_argument("--data", help="the folder it was trained on; its held-out good parts calibrate the scores")
    out.add_argument("--run", type=Path, help="as for fit")
    out.add_argument("--skip-bad", action="store_true", help="as for fit")
    out.add_argument("--features", type=Path, help="ResNet-50 of torchvision or timm, in place of the student")
    _bundle_arguments(out)
    brought = commands.add_parser("import", help="write a checkpoint trained with the authors' code as a bundle")
    brought.add_argument("--checkpoint", type=Path, required=True, help=".ckpt, .pt or .safetensors")
    brought.add_argument(
        "--context", type=Path, required=True, help=".npy [77, 768], or a folder with a CLIP text encoder"
    )
    brought.add_argument("--features", type=Path, required=True, help="the ResNet-50 that the model was measured with")
    brought.add_argument("--posterior-noise", type=Path, help=".npy of one latent; without it, the mean")
    brought.add_argument("--start-noise", type=Path, help=".npy of one latent; without it, seeded noise")
    brought.add_argument("--size", type=int, default=256, help="side of the image in pixels")
    brought.add_argument("--heads", type=int, default=8, help="attention heads: the one size that no key tells")
    brought.add_argument("--steps", type=int, default=10, help="DDIM steps; ten are the authors', in their spacing")
    brought.add_argument("--faithful", action="store_true", help="refuse whatever would give other scores than theirs")
    brought.add_argument("--name", default="imported", help="name in the manifest")
    brought.add_argument("--licence", default="unknown", help="licence of the weights, for the manifest")
    _bundle_arguments(brought)
    latent = commands.add_parser("represent", help="train DiAD in a foundation's latent and add it to a bundle")
    latent.add_argument("--data", type=Path, required=True, help="folder in MVTec-AD layout")
    latent.add_argument("--bundle", type=Path, required=True, help="bundle of the pixel model")
    latent.add_argument("--foundation", type=Path, default=Path("target/foundation/dinov2-s"))
    latent.add_argument("--run", type=Path, required=True, help="folder of features, checkpoints and logs")
    latent.add_argument("--steps", type=int, default=DEFAULT.steps, help=f"training steps ({DEFAULT.steps})")
    latent.add_argument("--batch", type=int, default=DEFAULT.batch, help=f"parts a step ({DEFAULT.batch})")
    latent.add_argument("--seed", type=int, default=1)
    latent.add_argument("--skip-bad", action="store_true", help="leave out pictures that cannot be read, naming them")
    _bundle_arguments(latent, precision="fp16")
    packed = commands.add_parser("embed", help="put overlays that `diad learn` wrote for a bundle into the bundle")
    packed.add_argument("overlays", type=Path, nargs="+", help="overlay files, one a product")
    packed.add_argument("--bundle", type=Path, required=True)
    packed.add_argument("--out", type=Path, required=True, help="folder of the new bundle; may be the same")
    measure = commands.add_parser("evaluate", help="image and pixel AUROC on a data set, in PyTorch")
    measure.add_argument("config", type=Path)
    measure.add_argument("--run", type=Path, required=True)
    measure.add_argument("--data", required=True, help="folder in MVTec-AD layout")
    measure.add_argument("--sheet", type=Path, help="write a picture sheet of input, reconstruction and map")
    compare = commands.add_parser("study", help="compare step counts and solvers on held-out parts of a finished run")
    compare.add_argument("config", type=Path)
    compare.add_argument("--data", help="the folder it was trained on")
    compare.add_argument("--run", type=Path, required=True)
    compare.add_argument("--skip-bad", action="store_true", help="as for fit")
    compare.add_argument("--plot", type=Path, help="write a PNG of AUROC against time")
    return parser


def _bundle_arguments(parser: argparse.ArgumentParser, precision: str = "fp32") -> None:
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the bundle; replaced as a whole but for its README.md"
    )
    parser.add_argument(
        "--precision", choices=tuple(PRECISIONS), default=precision, help="numbers the weights are stored as"
    )


def _trained(config: Config, run: Path, good: GoodParts | None = None, *, features: Path | None = None) -> DiAD:
    """The model of a finished run, which must have been trained with these networks and, where given, these parts.

    The ResNet-50 of the file `features` takes the place of its own features.
    """
    model = DiAD(config.model, noise_seed=config.train.seed)
    path = run / "model.pt"
    if not path.exists():
        raise DataError(f"{path}: no such file; run `diad-train fit` to its end first")
    check(run, config, good)
    state = read_state(path, inside=("model",))
    if features is not None:
        resnet50 = FeaturesConfig(kind="resnet50")
        model.config = dataclasses.replace(config.model, features=resnet50, layer_weights=(1.0, 1.0, 1.0))
        model.features = load_resnet50(features)
        state = {key: value for key, value in state.items() if not key.startswith("features.")}
        state |= {f"features.{key}": value for key, value in model.features.state_dict().items()}
    absent = [name for name in NETWORKS if not any(key.startswith(f"{name}.") for key in state)]
    own = {key: value for key, value in model.state_dict().items() if key.partition(".")[0] not in absent}
    faults = mismatches(own, state)
    if faults:
        raise CheckpointError(path, "is of other settings than these", faults)
    if absent:
        raise CheckpointError(
            path,
            f"has no {', no '.join(absent)}: no stage of the run trained any and --start-from gave none; give their "
            "stages some steps, or export with --features where it is the features",
        )
    model.load_state_dict(state)
    return model.eval()


def _fit(arguments: argparse.Namespace) -> None:
    config = _config(arguments)
    print(plan(config), file=sys.stderr)
    fit(
        config,
        _run(arguments, config),
        wanted=tuple(arguments.stages),
        start_from=arguments.start_from,
        skip_bad=arguments.skip_bad,
    )


def _export(arguments: argparse.Namespace) -> None:
    _check_place(arguments.out)
    config = _config(arguments)
    good = load_good(Path(config.train.data), size=config.model.image_size, skip_bad=arguments.skip_bad)
    run = _run(arguments, config)
    model = _trained(config, run, good, features=arguments.features)
    data = f"{len(good.pictures)} good parts of {len(good.products)} products"
    origin = provenance(dataclasses.replace(config, model=model.config), data=data)
    origin["settings"] |= started_from(run)
    options = Options(precision=arguments.precision)
    export(model, out=arguments.out, origin=origin, good=good, held_out=held_out(good), options=options)


AUTHORS_HEADS, AUTHORS_TOKENS = 8, 77


def _check_place(out: Path) -> None:
    """Refuses a place where a bundle would replace something else: a run, a working folder, what a link leads to."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ConfigError(f"--out {out}: is no folder; a bundle takes the place of a folder as a whole")
    others = [path.name for path in out.iterdir() if path.name != MODEL_CARD] if out.is_dir() else []
    if others and "manifest.json" not in others:
        raise ConfigError(
            f"--out {out}: holds {sorted(others)[0]} and is no bundle; it would be lost: give a new folder"
        )
    if out.resolve() == Path.cwd():
        raise ConfigError(f"--out {out}: is the folder this runs in; run it from another one")


def _import(arguments: argparse.Namespace) -> None:
    _check_place(arguments.out)
    if arguments.faithful and arguments.steps != 10:
        raise ConfigError(f"--faithful --steps {arguments.steps}: the authors take 10 steps")
    if arguments.faithful and arguments.posterior_noise is None:
        raise ConfigError("--faithful needs --posterior-noise: the authors sample the posterior, this takes its mean")
    if arguments.faithful and arguments.precision != "fp32":
        raise ConfigError(
            f"--faithful --precision {arguments.precision}: rounded weights give other scores; fp32 does not"
        )
    if arguments.faithful and arguments.heads != AUTHORS_HEADS:
        raise ConfigError(
            f"--faithful --heads {arguments.heads}: the authors' networks have {AUTHORS_HEADS} at any width"
        )
    extras = Extras(arguments.context, arguments.features, arguments.posterior_noise, arguments.start_noise)
    model = import_checkpoint(
        arguments.checkpoint,
        extras,
        size=arguments.size,
        steps=arguments.steps,
        heads=arguments.heads,
        name=arguments.name,
    )
    tokens = model.config.denoiser.context_tokens
    if arguments.faithful and tokens != AUTHORS_TOKENS:
        raise ConfigError(
            f"--faithful: --context has {tokens} tokens; the authors' text encoder gives {AUTHORS_TOKENS}"
        )
    if dead_fusion(model.denoiser):
        print("all SFF weights are zero (as the released recipe leaves them): the SFF is left out, exactly")
    settings = {"model": dataclasses.asdict(model.config), "faithful": arguments.faithful}
    origin = {"data": "a checkpoint of others", "licence": arguments.licence, "settings": settings}
    options = Options(precision=arguments.precision, any_step=False)
    export(model, out=arguments.out, origin=origin, options=options)


def _represent(arguments: argparse.Namespace) -> None:
    _check_place(arguments.out)
    spec = FoundationSpec.read(arguments.foundation)
    good = load_good(arguments.data, size=spec.size, skip_bad=arguments.skip_bad)
    features = features_of(Foundation(spec), good, arguments.run / "features.npy")
    trained = np.delete(features, held_out(good), axis=0)
    model = RepresentationDiAD(RepresentationConfig(groups=spec.groups, side=spec.shape[1]))
    stage = dataclasses.replace(DEFAULT, steps=arguments.steps, batch=arguments.batch)
    train(model, trained, stage, seed=arguments.seed, folder=arguments.run)
    attach(model, spec, bundle=arguments.bundle, out=arguments.out, precision=arguments.precision)


def _embed(arguments: argparse.Namespace) -> None:
    _check_place(arguments.out)
    embed(arguments.bundle, arguments.overlays, arguments.out)


def _evaluate(arguments: argparse.Namespace) -> None:
    config = load(arguments.config)
    model = _trained(config, arguments.run)
    table = evaluate(model.inspect, Path(arguments.data), size=config.model.image_size)
    for product, (image, pixel) in table.items():
        print(f"{product:16} image AUROC {image:.3f}   pixel AUROC {pixel:.3f}")
    if arguments.sheet is not None:
        sheet(model.inspect, Path(arguments.data), size=config.model.image_size).save(arguments.sheet)


def _study(arguments: argparse.Namespace) -> None:
    config = _config(arguments)
    good = load_good(Path(config.train.data), size=config.model.image_size, skip_bad=arguments.skip_bad)
    model = _trained(config, arguments.run, good)
    pool = pool_of(good, arguments.run, copies=config.train.corruptions_per_image, seed=config.train.seed)
    points = study.measure(model, config.model, good, pool, study.candidates(config.model.sampler.start))
    print(study.table(points))
    if arguments.plot is not None:
        study.plot(points, arguments.plot)


def _run(arguments: argparse.Namespace, config: Config) -> Path:
    return arguments.run or Path("runs") / config.model.name


def _config(arguments: argparse.Namespace) -> Config:
    if arguments.config is None and arguments.data is None:
        raise ConfigError("neither settings nor --data: name the folder of good parts, <product>/train/good, by --data")
    config = load(arguments.config) if arguments.config is not None else recommended(Path(arguments.data))
    given = {name: getattr(arguments, name, None) for name in ("data", "teacher", "context", "workers")}
    changes = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))


def _placed(error: OSError, arguments: argparse.Namespace) -> str:
    """A write into an open file fails without the file's name: then the folder it lies in says where."""
    folder = getattr(arguments, "out", None) or getattr(arguments, "run", None)
    if error.errno is None or error.filename is not None or folder is None:
        return str(error)
    return f"{folder}: {error}"


COMMANDS = {
    "fit": _fit,
    "export": _export,
    "import": _import,
    "represent": _represent,
    "embed": _embed,
    "evaluate": _evaluate,
    "study": _study,
}


def main() -> int:
    """Entry point; returns the exit code (0 done, 65 bad data, 69 out of memory, 70 bug, 74 disk, 78 settings)."""
    arguments = _parser().parse_args()
    try:
        COMMANDS[arguments.command](arguments)
    except ConfigError as error:
        print(f"diad-train: {error}", file=sys.stderr)
        return 78
    except (DataError, CheckpointError) as error:
        print(f"diad-train: {error}", file=sys.stderr)
        return 65
    except ExportError as error:
        print(f"diad-train: {error}", file=sys.stderr)
        return 70
    except OSError as error:  # SaveError among them
        print(f"diad-train: {_placed(error, arguments)}", file=sys.stderr)
        return 74
    except FloatingPointError as error:
        print(f"diad-train: {error}", file=sys.stderr)
        return 70
    except BrokenProcessPool as error:
        print(f"diad-train: out of memory, by all signs ({error}); give fewer --workers", file=sys.stderr)
        return 69
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print(f"diad-train: out of memory ({error}); lower the stage's batch or train.crop", file=sys.stderr)
        return 69
    return 0


if __name__ == "__main__":
    sys.exit(main())
