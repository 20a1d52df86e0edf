#!/usr/bin/env bash
# Coverage-guided fuzzing of every door, from the committed corpus. What breaks one lies in tests/fuzz/artifacts and
# belongs into the corpus once it is mended.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "fuzz: cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2
    exit 69
fi
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzz: there is no nightly toolchain here: rustup toolchain install nightly" >&2
    exit 69
fi
for target in tests/fuzz/fuzz_targets/*.rs; do
    door=$(basename "$target" .rs)
    # What is found new stays out of the committed corpus.
    found=tests/fuzz/target/found/$door
    mkdir -p "$found"
    cargo +nightly fuzz run --fuzz-dir tests/fuzz --sanitizer none "$door" "$found" "tests/fuzz/corpus/$door" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
