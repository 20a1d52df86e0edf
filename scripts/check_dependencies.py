#!/usr/bin/env python3
"""Checks which crate uses which, and that no Rust file outgrows its subject.

The rules are the tables below. A change here is a change of the architecture: give its reason in ARCHITECTURE.md.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Crates of this workspace that a crate may depend on; tests, examples and build scripts are no exception.
MAY_USE = {
    "diad_core": set(),
    "diad_scene": {"diad_core"},
    "diad_capture": {"diad_core", "diad_scene"},
    "diad_engine": {"diad_core"},
    "diad_ledger": {"diad_core"},
    "diad_publish": {"diad_core"},
    "diad": {"diad_core", "diad_scene", "diad_capture", "diad_engine", "diad_ledger", "diad_publish"},
}

# The one crate that may depend on an outside crate.
SOLE_USER = {
    "ort": "diad_engine",
    "nokhwa": "diad_capture",
    "v4l": "diad_capture",
    "rumqttc": "diad_publish",
    "rumqttd": "diad",
    "prost": "diad_publish",
    "rusqlite": "diad_ledger",
    "libsqlite3-sys": "diad_ledger",
    "sqlx": "diad_ledger",
    "redb": "diad_ledger",
    "sled": "diad_ledger",
}

# Whose tests may come from any crate: a test may listen to what a station says.
OPEN_TO_TESTS = {"rumqttc"}

# Outside crates of the crates that are kept pure: no IO, clock, thread, log or wire format.
PURE = {"diad_core": {"ndarray", "thiserror", "unicode-normalization"}}

LONG_LINES = 400
TOO_LONG_LINES = 600


def edge_faults(metadata):
    """Every forbidden dependency in the output of `cargo metadata --no-deps`, with the path it takes."""
    faults = []
    crates = {package["name"] for package in metadata["packages"]}
    for package in metadata["packages"]:
        user, manifest = package["name"], package["manifest_path"]
        if user not in MAY_USE:
            faults.append(f"{manifest}: crate {user} has no place in the tables of scripts/check_dependencies.py")
            continue
        for dependency in package["dependencies"]:
            used, is_test = dependency["name"], dependency["kind"] == "dev"
            edge = f"{manifest}: {user} -> {used}"
            if used in crates:
                if used not in MAY_USE[user]:
                    allowed = ", ".join(sorted(MAY_USE[user])) or "no crate of this workspace"
                    faults.append(f"{edge}: {user} may use {allowed}")
            elif SOLE_USER.get(used, user) != user:
                if not (is_test and used in OPEN_TO_TESTS):
                    faults.append(f"{edge}: only {SOLE_USER[used]} may use {used}")
            elif user in PURE and not is_test and used not in PURE[user]:
                faults.append(f"{edge}: {user} is pure and may use {', '.join(sorted(PURE[user]))}")
    return faults


def length_findings(lengths):
    """Faults and notes for Rust files, given as (path, number of lines); files of tests are not counted."""
    faults, notes = [], []
    for path, lines in lengths:
        if path.name == "tests.rs" or "tests" in path.parts:
            continue
        if lines > TOO_LONG_LINES:
            faults.append(f"{path}: {lines} lines, at most {TOO_LONG_LINES}: split it by subject")
        elif lines > LONG_LINES:
            notes.append(f"{path}: {lines} lines, time to split it at {LONG_LINES}")
    return faults, notes


def self_test():
    """The checks find what they are for, and nothing else."""

    def faults(user, used, kind=None):
        packages = [{"name": name, "manifest_path": "m", "dependencies": []} for name in MAY_USE]
        chosen = [package for package in packages if package["name"] == user]
        if not chosen:
            packages.append({"name": user, "manifest_path": "m", "dependencies": []})
            chosen = packages[-1:]
        chosen[0]["dependencies"].append({"name": used, "kind": kind})
        return edge_faults({"packages": packages})

    for user, used, kind, count in [
        ("diad", "diad_publish", None, 0),
        ("diad_capture", "diad_scene", None, 0),
        ("diad_publish", "rumqttc", None, 0),
        ("diad", "rumqttc", "dev", 0),
        ("diad_core", "proptest", "dev", 0),
        ("diad_publish", "tokio", None, 0),
        ("diad_core", "diad_scene", "dev", 1),
        ("diad_publish", "diad_engine", None, 1),
        ("diad_scene", "diad", "build", 1),
        ("diad", "rumqttc", None, 1),
        ("diad", "ort", "dev", 1),
        ("diad_publish", "rusqlite", None, 1),
        ("diad_core", "tracing", None, 1),
        ("diad_extra", "serde", None, 1),
    ]:
        found = faults(user, used, kind)
        assert len(found) == count, (user, used, kind, found)
    assert "m: diad_publish -> diad_engine: " in faults("diad_publish", "diad_engine")[0]

    lengths = [
        ("a/src/b.rs", 400),
        ("a/src/c.rs", 401),
        ("a/src/d.rs", 601),
        ("a/src/d/tests.rs", 900),
        ("tests/e.rs", 900),
    ]
    too_long, long = length_findings((Path(path), lines) for path, lines in lengths)
    assert [fault.split(":")[0] for fault in too_long] == ["a/src/d.rs"]
    assert [note.split(":")[0] for note in long] == ["a/src/c.rs"]


def main():
    """Prints notes and faults; 1 if there are faults."""
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    if sys.argv[1:]:
        print(f"usage: {sys.argv[0]} [--self-test]", file=sys.stderr)
        return 64
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked", "--offline"]
    cargo = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if cargo.returncode != 0:
        return cargo.returncode
    files = sorted(path.relative_to(ROOT) for path in ROOT.glob("crates/*/**/*.rs"))
    lengths = [(path, len((ROOT / path).read_text(encoding="utf-8").splitlines())) for path in files]
    faults, notes = length_findings(lengths)
    faults = edge_faults(json.loads(cargo.stdout)) + faults
    for note in notes:
        print(f"note: {note}")
    for fault in faults:
        print(fault.replace(f"{ROOT}/", ""), file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
