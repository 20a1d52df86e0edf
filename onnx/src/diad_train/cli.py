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
from diad_train.exchange.export import MODEL_CARD, ExportError, Options, export, provenance
from diad_train.exchange.importer import Extras, import_checkpoint
from diad_train.model.diad import DiAD
from diad_train.model.fold import dead_fusion
from diad_train.model.resnet import load_resnet50
from diad_train.options import parser_of
from diad_train.representation.bundle import attach, embed
from diad_train.representation.features import Foundation, FoundationSpec, features_of
from diad_train.representation.model import RepresentationConfig, RepresentationDiAD
from diad_train.representation.stage import DEFAULT, train
from diad_train.train.fit import fit
from diad_train.train.order import NETWORKS
from diad_train.train.plan import plan
from diad_train.train.pool import pool_of
from diad_train.train.record import check, started_from


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


# What the authors' program has at any width of its networks.
AUTHORS_STEPS, AUTHORS_HEADS, AUTHORS_TOKENS = 10, 8, 77


def _check_place(out: Path) -> None:
    """Rejects a place where a bundle would replace something else: a run, a working folder, the target of a link."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ConfigError(f"--out {out}: is no folder; a bundle takes the place of a folder as a whole")
    others = [path.name for path in out.iterdir() if path.name != MODEL_CARD] if out.is_dir() else []
    if others and "manifest.json" not in others:
        raise ConfigError(
            f"--out {out}: holds {sorted(others)[0]} and is no bundle; it would be lost: give a new folder"
        )
    if out.resolve() == Path.cwd():
        raise ConfigError(f"--out {out}: is the folder this runs in; run it from another one")


def _check_faithful(arguments: argparse.Namespace, *, tokens: int = AUTHORS_TOKENS) -> None:
    """Rejects what would give other scores than the authors' program, if `--faithful` asks for theirs.

    `tokens` is the length of the context, known once it is read.
    """
    a = arguments
    faults = (
        (a.steps != AUTHORS_STEPS, f" --steps {a.steps}: the authors take {AUTHORS_STEPS} steps"),
        (
            a.posterior_noise is None,
            " needs --posterior-noise: the authors sample the posterior, this takes its mean",
        ),
        (
            a.precision != "fp32",
            f" --precision {a.precision}: rounded weights give other scores; fp32 does not",
        ),
        (
            a.heads != AUTHORS_HEADS,
            f" --heads {a.heads}: the authors' networks have {AUTHORS_HEADS} at any width",
        ),
        (
            tokens != AUTHORS_TOKENS,
            f": --context has {tokens} tokens; the authors' text encoder gives {AUTHORS_TOKENS}",
        ),
    )
    for is_fault, message in faults:
        if a.faithful and is_fault:
            raise ConfigError(f"--faithful{message}")


def _import(arguments: argparse.Namespace) -> None:
    _check_place(arguments.out)
    _check_faithful(arguments)
    extras = Extras(arguments.context, arguments.features, arguments.posterior_noise, arguments.start_noise)
    model = import_checkpoint(
        arguments.checkpoint,
        extras,
        size=arguments.size,
        steps=arguments.steps,
        heads=arguments.heads,
        name=arguments.name,
    )
    _check_faithful(arguments, tokens=model.config.denoiser.context_tokens)
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
    """Text of an error, with the folder in front where a write into an open file failed and gives no file name."""
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
    arguments = parser_of(__doc__).parse_args()
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
