#!/usr/bin/env bash
# Learns the nine rendered products for `diad demo`, on parts that no network was trained on: banks and cut-offs, which go
# beside the model that ships. Minutes; a call that was interrupted goes on where it ended with the same --work.
#
# What it writes: OUT/thresholds.yaml and OUT/products/<product>/<digest>.safetensors
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat >&2 <<'END'
usage: scripts/learn_rendered.sh [--program FILE] [--seed S] [--parts N] [--rows N] [--work DIR] [--out DIR]
  --program  by default target/release/diad
  --seed     of the parts, by default 7001: not that of the model's training parts, and of no demonstration
  --parts    good parts of each product, at most 200; by default 100
  --rows     most patches of each bank, by default 1000
  --work     a folder for parts and drafts, by default one that goes when it is done
  --out      by default onnx/models/diad-tiny/learnt
END
    exit 64
}
program=target/release/diad seed=7001 parts=100 rows=1000 work='' out=onnx/models/diad-tiny/learnt
while [ "$#" -gt 0 ]; do
    [ "$#" -ge 2 ] || usage
    case $1 in
    --program) program=$2 ;;
    --seed) seed=$2 ;;
    --parts) parts=$2 ;;
    --rows) rows=$2 ;;
    --work) work=$2 ;;
    --out) out=$2 ;;
    *) usage ;;
    esac
    shift 2
done
if [ -z "$work" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
mkdir -p "$work"
work=$(realpath "$work") program=$(realpath "$program")
DIAD_FOUNDATIONS=${DIAD_FOUNDATIONS:-$PWD/target/foundation}
export DIAD_FOUNDATIONS

[ -d "$work/parts" ] || {
    "$program" demo --write-dataset "$work/parts.half" --seed "$seed"
    mv "$work/parts.half" "$work/parts"
}
if [ ! -e "$work/diad.yaml" ]; then
    cat >"$work/thresholds.yaml" <<END
# Cut-offs and banks of the rendered products: \`diad demo\` judges by them where the foundation is at hand. Made by
# scripts/learn_rendered.sh.
default: { review: 0.06, reject: 0.075 }
END
    cat >"$work/diad.yaml" <<END
line: demo
station: S1
cameras:
  - { id: cam0, source: { kind: rendered }, trigger: { kind: camera } }
deadline_ms: 5000
engine: { model: "$PWD/onnx/models/diad-tiny" }
ledger: { path: "$work/ledger.sqlite3" }
thresholds: "$work/thresholds.yaml"
END
fi
for good in "$work"/parts/*/train/good; do
    product=$(basename "$(dirname "$(dirname "$good")")")
    [ ! -e "$work/products/$product/current.json" ] || continue
    some=$work/some/$product
    rm -rf "$some"
    mkdir -p "$some"
    for picture in $(cd "$good" && find . -name '*.png' | sort | head -n "$parts"); do ln "$good/$picture" "$some"; done
    # All of them are good, those that stand out as well: nothing but the renderer made them.
    # The note in the thresholds names the folder: a name below the working folder is the same on every machine.
    (cd "$work" && "$program" learn --product "$product" "some/$product" --foundation efficientnet-lite2 --rows "$rows" \
        --force --config diad.yaml)
done

rm -rf "$out.half"
mkdir -p "$out.half"
cp "$work/thresholds.yaml" "$out.half"
for folder in "$work"/products/*/; do
    mkdir -p "$out.half/products/$(basename "$folder")"
    cp "$folder"*.safetensors "$out.half/products/$(basename "$folder")"
done
rm -rf "$out"
mv "$out.half" "$out"
du -sh "$out"
