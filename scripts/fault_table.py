#!/usr/bin/env python3
"""Puts the table that `make faults` printed into docs/design/promise.md, in place of the one there.

usage: fault_table.py LOG | --self-test
"""

import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs/design/promise.md"
BEGIN, END = "<!-- faults: begin -->\n", "<!-- faults: end -->\n"


def table(log):
    """The table in a log, without the column of seconds; lines of the test run around it do not count."""
    lines = [line.strip() for line in log.splitlines()]
    start = next((number for number, line in enumerate(lines) if line.startswith("| fault |")), None)
    if start is None:
        raise SystemExit("fault_table: no line begins with `| fault |`; give the output of `make faults`")
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        if "FAILED" in line:
            raise SystemExit(f"fault_table: a fault failed, so the page stays as it is: {line}")
        rows.append("|".join(line.split("|")[:-2]) + "|\n")
    return "".join(rows)


def replaced(page, new):
    """The page with the table between its two marks replaced."""
    head, _, rest = page.partition(BEGIN)
    old, mark, tail = rest.partition(END)
    if not mark or not old:
        raise SystemExit(f"fault_table: {PAGE} lacks its marks {BEGIN.strip()} and {END.strip()}")
    return head + BEGIN + new + END + tail


def self_test():
    """The table is found and put in."""
    log = "running 1 test\n| fault | lost | s |\n|---|---|---|\n| none | 0 | 12 |\ntest promise ... ok\n"
    new = table(log)
    assert new == "| fault | lost |\n|---|---|\n| none | 0 |\n", new
    assert replaced(f"a\n{BEGIN}old\n{END}b\n", new) == f"a\n{BEGIN}{new}{END}b\n"


def main():
    """Writes the page."""
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    elif len(sys.argv) == 2:
        new = table(Path(sys.argv[1]).read_text(encoding="utf-8"))
        PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), new), encoding="utf-8")
    else:
        print(f"usage: {sys.argv[0]} LOG | --self-test", file=sys.stderr)
        return 64
    return 0


if __name__ == "__main__":
    sys.exit(main())
