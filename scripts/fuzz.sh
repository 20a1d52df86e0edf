#!/usr/bin/env bash
# Coverage-guided fuzzing of every door, from the committed corpus. What breaks one lies in tests/fuzz/artifacts and
# belongs into the corpus once it is mended.
#
#   scripts/fuzz.sh [--if-possible] [SECONDS]     SECONDS for each door, by default 60
#
# --if-possible: where cargo-fuzz is missing, that is said and no failure.
set -euo pipefail
cd "$(dirname "$0")/.."

possible=no
if [ "${1:-}" = --if-possible ]; then
    possible=ask
    shift
fi
seconds=${1:-60}
if ! cargo fuzz --version >/dev/null 2>&1; then
    missing="cargo-fuzz is missing: cargo install cargo-fuzz --locked"
    if [ "$possible" = ask ]; then
        echo "fuzz: skipped: $missing"
        exit 0
    fi
    echo "fuzz: $missing" >&2
    exit 69
fi
# Coverage needs what only a nightly compiler offers, or a stable one that is told to offer it.
if cargo +nightly --version >/dev/null 2>&1; then
    export RUSTUP_TOOLCHAIN=nightly
else
    export RUSTC_BOOTSTRAP=1
fi
for target in tests/fuzz/fuzz_targets/*.rs; do
    door=$(basename "$target" .rs)
    # What is found new stays out of the committed corpus.
    found=tests/fuzz/target/found/$door
    mkdir -p "$found"
    cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none "$door" "$found" "tests/fuzz/corpus/$door" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
