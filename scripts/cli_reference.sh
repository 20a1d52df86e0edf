#!/usr/bin/env bash
# Prints docs/reference/cli.md: the help of every command of a built program. A test of the program compares the two.
#   scripts/cli_reference.sh target/debug/diad > docs/reference/cli.md
set -euo pipefail
[ "$#" -eq 1 ] || { echo "usage: $0 PROGRAM" >&2; exit 64; }
program=$1

help_of() { # WORDS...: the help of a command, as a section
    echo
    echo "## diad${*:+ $*}"
    echo
    echo '```text'
    "$program" "$@" --help
    echo '```'
}
commands_of() { # WORDS...: the names in the list of commands of a help, but for `help` itself
    "$program" "$@" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p' | grep -vx help || true
}

cat <<'END'
# Command line

`--json` prints one JSON document on standard output and nothing else. The log goes to standard error; progress bars appear on a
terminal only. How a command ends: [exit codes](exit-codes.md). Guides: [operators](../operators.md),
[integrators](../integrators.md), [ML engineers](../ml-engineers.md), [learning a product](../learn.md).

This page is made by `scripts/cli_reference.sh`; edit `crates/diad/src/cli.rs`.
END
help_of
for command in $(commands_of); do
    help_of "$command"
    for sub in $(commands_of "$command"); do
        help_of "$command" "$sub"
    done
done
