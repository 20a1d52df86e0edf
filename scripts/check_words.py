#!/usr/bin/env python3
"""Counts words that docs/contributing.md rules out, file by file.

Texts that people read (README, docs, settings, help) must have none. Source code has a baseline, a count for each file
in scripts/check_words.baseline, which may only fall. In Markdown, code spans and code blocks do not count: they quote.

usage: check_words.py [--self-test | --update | --list PATH...]
  --update   writes the baseline again; refuses to if the total would rise
  --list     prints every hit in the files given
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "scripts/check_words.baseline"

# Verbs of speech for what a program does, persons for its parts, and words that a reader has to look up.
WORDS = (
    *(
        "say",
        "says",
        "said",
        "saying",
        "unsaid",
        "tell",
        "tells",
        "told",
        "telling",
        "speak",
        "speaks",
        "spoke",
        "spoken",
    ),
    *("hear", "hears", "heard", "hearing", "unheard", "heed", "heeds", "heeded", "unheeded"),
    *("nobody", "somebody", "everybody", "anybody", "whoever", "anew"),
)
# A name in code counts by its parts: `tell_deaf` has a hit, `retell` and `tellurium` have none.
HIT = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(WORDS)})(?![A-Za-z])", re.IGNORECASE)

# Texts for people: no hit at all, whatever the baseline holds. The text of `--help` is in cli.rs.
FREE = re.compile(
    r"(README|ARCHITECTURE|SECURITY)\.md|Makefile|onnx/.*README\.md|systemd/.*|docs/.*\.(md|yml)|config/.*\.yaml|crates/diad/src/cli\.rs"
)
# Files whose text the baseline may still hold although they lie in a place above.
NOT_YET = {"docs/learn.md", "docs/learn-walk.md", "docs/measured.md", "docs/doctor.md", "docs/design/states.md"}
COUNTED = re.compile(r".*\.(md|rs|py|sh|js|css|html|yaml|yml|toml|json|service|conf|rules|st|scl)|Makefile|\.ci/run")
# Not prose of this project: generated, recorded, or about these words.
LEFT_OUT = re.compile(
    r"scripts/check_words\..*|Cargo\.lock|LICENSE.*|.*manifest\.json|tests/fuzz/corpus/.*|onnx/constraints\.txt"
)

FENCE = re.compile(r"^(```|~~~).*?^\1[`~]*\s*$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)


def prose(path, text):
    """The text that counts, with its line breaks kept."""
    if not path.endswith(".md"):
        return text
    blank = lambda match: "\n" * match.group().count("\n")  # noqa: E731
    return SPAN.sub(blank, FENCE.sub(blank, text))


def hits(path, text):
    """Every hit as (line number from 1, word)."""
    lines = prose(path, text).split("\n")
    return [(number, match.group()) for number, line in enumerate(lines, 1) for match in HIT.finditer(line)]


def must_be_free(path):
    """Whether a file may have no hit at all."""
    return FREE.fullmatch(path) is not None and path not in NOT_YET


def faults(counts, baseline):
    """Every file with more hits than it may have; `counts` and `baseline` by path."""
    found = []
    for path, count in sorted(counts.items()):
        allowed = 0 if must_be_free(path) else baseline.get(path, 0)
        if count > allowed:
            found.append(
                f"{path}: {count} words that docs/contributing.md rules out, {allowed} allowed; "
                f"scripts/check_words.py --list {path} shows them"
            )
    return found


def read_baseline(text):
    """Counts by path out of lines `COUNT PATH`."""
    pairs = (line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#"))
    return {path: int(count) for count, path in pairs}


def tracked():
    """Paths of the files that count: those in git, and new ones that git does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    wanted = (name for name in names if COUNTED.fullmatch(name) and not LEFT_OUT.fullmatch(name))
    return sorted({name for name in wanted if (ROOT / name).is_file()})


def counts_now():
    """Hits of every file that has any."""
    counts = {name: len(hits(name, (ROOT / name).read_text(encoding="utf-8"))) for name in tracked()}
    return {name: count for name, count in counts.items() if count}


def update():
    """Writes the baseline; 1 if there are more hits than before."""
    counts = {name: count for name, count in counts_now().items() if not must_be_free(name)}
    if BASELINE.exists():
        before = sum(read_baseline(BASELINE.read_text(encoding="utf-8")).values())
        if sum(counts.values()) > before:
            print(f"{sum(counts.values())} words, {before} before: the baseline may only fall", file=sys.stderr)
            return 1
    head = "# Words that docs/contributing.md rules out, file by file. May only fall: scripts/check_words.py --update\n"
    BASELINE.write_text(head + "".join(f"{count} {name}\n" for name, count in sorted(counts.items())), encoding="utf-8")
    return 0


def self_test():
    """The check finds what it is for, and nothing else."""
    for path, text, count in [
        ("a.rs", "// Nobody tells it anew.", 3),
        ("a.rs", "fn tell_deaf(heard: u8) {}", 2),
        ("a.rs", "// Retelling, ahead, unheadded, tellurium, essay, sayings", 0),
        ("a.rs", 'let x = "`said`";', 1),
        ("a.md", "It `says` what ``was `told` `` it.\n\n```text\nnobody said\n```\n\nIt says so.", 1),
        ("a.md", "one ` tick says", 1),
    ]:
        assert len(hits(path, text)) == count, (path, text, hits(path, text))
    assert hits("a.md", "```\nsaid\n```\nsaid")[0][0] == 4
    for path, free in [
        ("docs/reference/mqtt.md", True),
        ("README.md", True),
        ("crates/diad/src/cli.rs", True),
        ("docs/learn.md", False),
        ("crates/diad/src/main.rs", False),
    ]:
        assert must_be_free(path) == free, path
    assert faults({"crates/a.rs": 3}, {"crates/a.rs": 3}) == []
    assert faults({"crates/a.rs": 2}, {"crates/a.rs": 3}) == []
    assert len(faults({"crates/a.rs": 4}, {"crates/a.rs": 3})) == 1
    assert len(faults({"crates/new.rs": 1}, {})) == 1
    assert len(faults({"README.md": 1}, {"README.md": 5})) == 1
    assert read_baseline("# head\n3 crates/a b.rs\n") == {"crates/a b.rs": 3}


def main():
    """Prints the faults; 1 if there are any."""
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        self_test()
        return 0
    if arguments == ["--update"]:
        return update()
    if arguments[:1] == ["--list"] and arguments[1:]:
        for name in arguments[1:]:
            text = Path(name).read_text(encoding="utf-8")
            for number, word in hits(name, text):
                print(f"{name}:{number}: {word}: {text.splitlines()[number - 1].strip()}")
        return 0
    if arguments:
        print(f"usage: {sys.argv[0]} [--self-test | --update | --list PATH...]", file=sys.stderr)
        return 64
    baseline = read_baseline(BASELINE.read_text(encoding="utf-8"))
    found = faults(counts_now(), baseline)
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
