#!/usr/bin/env python3
"""Checks the documents against the repository, without a network.

- every relative link of every Markdown file leads to a file, and to a heading of it where it has an anchor;
- every `docs/...` path that source code, settings and scripts name exists;
- docs/design/promise.md has a row for every fault of the test;
- docs/reference/ names every key of the settings with its default, every metric, exit code and column of the export;
- every message that docs/troubleshooting.md quotes is in the source code;
- every `diad` command line and `make` target in code of a document exists.

usage: check_docs.py [--self-test]
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FENCE = re.compile(r"^ *(```|~~~).*?^ *\1[`~]*\s*$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
PATHS_LEFT_OUT = {"CHANGELOG.md", "scripts/check_docs.py", "scripts/check_words.py"}
DOCUMENT_PATH = re.compile(r"(?<![\w./-])docs/[\w./-]*[\w-]\.(?:md|json|py|st|scl|yml)\b")


def without_code(text):
    """Markdown with its code blocks and code spans blanked."""
    return SPAN.sub("", FENCE.sub("", text))


def anchor(heading):
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(text):
    """Every anchor of a document; a second heading of the same name gets `-1`."""
    seen, found = {}, set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        name = anchor(heading)
        count = seen.get(name, 0)
        found.add(f"{name}-{count}" if count else name)
        seen[name] = count + 1
    return found


def link_faults(name, text, read):
    """Every dead link of a document; `read` returns the text of a path, "" for a folder, None for nothing."""
    faults = []
    for target in LINK.findall(without_code(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        place = normal(Path(name).parent / path) if path else name
        found = read(place)
        if found is None:
            faults.append(f"{name}: link to {target}: there is no {place}")
        elif fragment and fragment not in anchors(found):
            faults.append(f"{name}: link to {target}: {place} has no heading #{fragment}")
    return faults


def normal(path):
    """A path without `..`, as text."""
    parts = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def first_cells(text):
    """Code spans of the first column of every table of a document, rows in order."""
    lines = FENCE.sub("", text).splitlines()
    rows = [line for line in lines if line.startswith("|") and not re.match(r"\|[ :|-]+\|$", line)]
    return [[span for _, span in SPAN.findall(cells(row)[0])] for row in rows]


def cells(row):
    """The cells of a row of a table; `\\|` is a character."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def defaults(text):
    """Values of a settings file by dotted key, as they are written; sections themselves have none."""
    found, path = {}, []
    for line in text.splitlines():
        match = re.match(r"( *)(\w+):(?: +(.*))?$", line.split(" #")[0].rstrip())
        if not match or line.lstrip().startswith("#"):
            continue
        indent, key, value = len(match.group(1)) // 2, match.group(2), match.group(3)
        path[indent:] = [key]
        if value:
            found[".".join(path)] = value
    return found


def settings_faults(document, default_yaml, sources):
    """Keys of the settings that the document lacks, and defaults that differ; `sources` are the readers' texts."""
    rows = {}
    for row in (line for line in document.splitlines() if line.startswith("| `")):
        columns = cells(row)
        for _, key in SPAN.findall(columns[0]):
            rows[key] = columns[1].strip("`")
    faults = [
        f"docs/reference/settings.md: {key} has no row"
        if key not in rows
        else f"docs/reference/settings.md: default of {key} is {rows[key]!r}, config/default.yaml has {value!r}"
        for key, value in defaults(default_yaml).items()
        if rows.get(key) != value
    ]
    last = {part for key in rows for part in re.split(r"[.\[\]]+", key)}
    for source in sources:
        # Lists of the keys that a section may have, and the constants of the thresholds.
        constants = re.findall(r"(?:KEYS|OF_PRODUCT)[^=]*= \[(.*?)\]", source)
        for keys in re.findall(r"\.only\(&\[(.*?)\]\)", source, re.DOTALL) + constants:
            faults += [
                f"docs/reference/settings.md: a key {key!r} of the settings has no row"
                for key in re.findall(r'"(\w+)"', keys)
                if key not in last
            ]
    return sorted(set(faults))


def set_faults(document_name, documented, wanted, what):
    """What is missing from a document, and what it names that is not there any more."""
    faults = [f"{document_name}: {what} {name} is missing" for name in wanted if name not in documented]
    return faults + [f"{document_name}: there is no {what} {name}" for name in documented if name not in wanted]


def quote_faults(document, sources):
    """Messages in the first column of the troubleshooting tables whose words no source has; `…` stands for values."""
    faults = []
    for spans in first_cells(document):
        for span in spans:
            pieces = [piece.strip() for piece in span.split("…")]
            faults += [
                f"docs/troubleshooting.md: no source has the message {piece!r}"
                for piece in pieces
                if len(piece) > 2 and squeezed(piece) not in sources
            ]
    return faults


def command_faults(name, text, sections, targets):
    """Command lines in code that do not exist; `sections` holds the help of each command, `targets` those of make."""
    faults = []
    code = [match.group() for match in FENCE.finditer(text)]
    code += [match.group(2) for match in SPAN.finditer(FENCE.sub("", text))]
    for line in "\n".join(code).splitlines():
        line = line.split("#")[0].strip().removeprefix("$ ")
        for part in re.split(r"&& |\| |; ", line):
            words = re.sub(r"^(sudo (-u diad )?)", "", part.strip()).split()
            if words[:1] == ["make"]:
                named = [word for word in words[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]
                faults += [f"{name}: make has no target {word}" for word in named if word not in targets]
            elif words[:1] == ["diad"] and words[1:]:
                command = next((" ".join(words[1:n]) for n in (3, 2) if " ".join(words[1:n]) in sections), None)
                if command is None:
                    if re.fullmatch(r"[a-z]+", words[1]):
                        faults.append(f"{name}: there is no command `diad {words[1]}`")
                    continue
                options = re.findall(r"(?<!\S)--[a-z-]+", part)
                missing = [option for option in options if not re.search(rf"{option}(?![\w-])", sections[command])]
                faults += [f"{name}: `diad {command}` has no option {option}" for option in missing]
    return faults


def squeezed(text):
    """Text with line continuations of Rust taken out and blanks made one."""
    return re.sub(r"\s+", " ", re.sub(r"\\\n\s*", "", text)).replace('\\"', '"')


def self_test():
    """The checks find what they are for, and nothing else."""
    tree = {"a.md": "# One `x`: two\n\n## One\n## One\n", "d/b.md": "", "d": ""}
    for text, count in [
        ("[x](d/b.md) [y](a.md#one-x-two) [z](#one-1) [w](https://x.y/z) ![p](d)", 0),
        ("`[x](none.md)`\n\n```text\n[x](none.md)\n```\n", 0),
        ("[x](none.md)", 1),
        ("[x](a.md#two)", 1),
        ("[x](#nothing)", 1),
        ("[x](d/../d/b.md)", 0),
    ]:
        found = link_faults("a.md", text, lambda place: tree.get(place) if place != "a.md" else tree["a.md"])
        assert len(found) == count, (text, found)
    yaml = "# head: 1\na: 1\nb:\n  c: null # why\n  d:\n    e: [x, y]\n"
    assert defaults(yaml) == {"a": "1", "b.c": "null", "b.d.e": "[x, y]"}
    page = "| key | default |\n|---|---|\n| `a` | `1` |\n| `b.c` | `null` |\n| `b.d.e` | `[x, y]` |\n| `l[].f` | |\n"
    assert settings_faults(page, yaml, ['keys.only(&["a", "b"])', '.only(&["f", "d",\n "e"])']) == []
    assert len(settings_faults(page, yaml + "g: 2\n", ['keys.only(&["h"])'])) == 2
    assert len(settings_faults(page.replace("`1`", "`2`"), yaml, [])) == 1
    assert set_faults("m", ["a", "b"], ["b", "c"], "metric") == ["m: metric c is missing", "m: there is no metric a"]
    source = squeezed('error("camera {x} is \\\n      away; look")')
    assert quote_faults("| `camera … is away` | x |\n", source) == []
    assert len(quote_faults("| `camera … is gone` | x |\n", source)) == 1
    sections = {"check": "--config <FILE> --json --dry-run", "ledger": "", "ledger export": "--out <FILE>"}
    for text, count in [
        ("`diad check --config FILE`, `make demo`, `sudo -u diad diad check --json`", 0),
        ("```sh\nmake demo PARTS=4 && diad ledger export --out a | head\nsystemctl status diad   # diad fly\n```", 0),
        ("diad fly, make nothing", 0),
        ("`diad fly`", 1),
        ("`diad check --loud`", 1),
        ("`diad check --dry`", 1),
        ("```sh\nmake nothing\n```", 1),
        ("`diad ledger export --json`", 1),
    ]:
        found = command_faults("d", text, sections, {"demo"})
        assert len(found) == count, (text, found)
    assert cells("| a \\| b | `c` |") == ["a | b", "`c`"]


def main():
    """Prints the faults; 1 if there are any."""
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    if sys.argv[1:]:
        print(f"usage: {sys.argv[0]} [--self-test]", file=sys.stderr)
        return 64

    def text(name):
        return (ROOT / name).read_text(encoding="utf-8")

    def read(place):
        path = ROOT / place
        if path.is_dir():
            return ""
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None

    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    names = sorted({name for name in listed if (ROOT / name).is_file()})
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    sections = re.split(r"^## diad ?", text("docs/reference/cli.md"), flags=re.MULTILINE)[1:]
    sections = {section.split("\n")[0]: section for section in sections}
    faults = []
    for name in names:
        if name.endswith(".md"):
            faults += link_faults(name, text(name), read)
            faults += command_faults(name, text(name), sections, targets) if name != "CHANGELOG.md" else []
        # A changelog names what was there once; the checks name what may come.
        if re.fullmatch(r".*\.(md|rs|py|sh|yaml|yml|toml|service|js)|Makefile", name) and name not in PATHS_LEFT_OUT:
            missing = {path for path in DOCUMENT_PATH.findall(text(name)) if not (ROOT / path).exists()}
            faults += [f"{name}: there is no {path}" for path in sorted(missing)]

    rust = [name for name in names if re.fullmatch(r"crates/[^/]+/src/.*\.rs", name) and "tests" not in name]
    readers = [name for name in rust if name.startswith(("crates/diad/src/settings/", "crates/diad/src/thresholds/"))]
    settings = text("docs/reference/settings.md")
    faults += settings_faults(settings, text("config/default.yaml"), [text(name) for name in readers])
    metrics = re.findall(r'"(diad_[a-z_]+)"', "".join(text(name) for name in rust if "/web/" in name))
    page = text("docs/reference/metrics.md").split("## Health sources")[0]
    in_page = [span for row in first_cells(page) for span in row]
    faults += set_faults("docs/reference/metrics.md", in_page, metrics, "metric")
    codes = re.findall(r"^ +[A-Z]\w+ = (\d+),", text("crates/diad/src/exit.rs"), re.MULTILINE)
    in_page = [span for row in first_cells(text("docs/reference/exit-codes.md")) for span in row]
    faults += set_faults("docs/reference/exit-codes.md", in_page, codes, "exit code")
    columns = re.findall(r'\bcolumn\("(\w+)"', text("crates/diad_ledger/src/export/columns.rs"))
    page = text("docs/reference/ledger.md").split("## Columns")[1].split("\n## ")[0]
    in_page = [span for row in first_cells(page) for span in row]
    faults += set_faults("docs/reference/ledger.md", in_page, columns, "column")
    faults_tested = re.findall(r'(?:fault|rare)\("([^"]+)"', text("tests/process/promise/mod.rs"))
    promise = text("docs/design/promise.md")
    faults += [
        f"docs/design/promise.md: no row for the fault {name!r}"
        for name in faults_tested
        if f"| {name} |" not in promise
    ]
    sources = squeezed("\n".join(text(name) for name in rust))
    faults += quote_faults(text("docs/troubleshooting.md"), sources)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
