#!/bin/sh
# Puts the ONNX Runtime library into target/ort/lib. Takes the shared library out of the project's own Python wheel:
# it is the one build that is published for x86_64 and aarch64, needs no account and has a hash to pin.
# Needs python3 with pip; whatever Python it is, the wheel is only unpacked. The second call is instant.
set -eu

version=1.24.4
case "$(uname -s) $(uname -m)" in
"Linux x86_64") sha256=0d640eb9f3782689b55cfa715094474cd5662f2f137be6a6f847a594b6e9705c ;;
"Linux aarch64") sha256=1a5c5a544b22f90859c88617ecb30e161ee3349fcc73878854f43d77f00558b5 ;;
*)
    echo "get_onnxruntime: no pinned ONNX Runtime for $(uname -s) $(uname -m), only for Linux x86_64 and aarch64." >&2
    echo "get_onnxruntime: put libonnxruntime.so $version or newer beside the program in lib/, or set ORT_DYLIB_PATH." >&2
    exit 1
    ;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
lib=$root/target/ort/lib
stamp="onnxruntime $version sha256:$sha256"
if [ "$(cat "$lib/stamp" 2>/dev/null)" = "$stamp" ] && [ -s "$lib/libonnxruntime.so" ]; then
    exit 0
fi

if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "get_onnxruntime: python3 with pip is needed to fetch the library: sudo apt-get install -y python3-pip" >&2
    exit 1
fi

# Everything happens in a folder of this call and ends in one rename, so an interrupted call leaves nothing half done.
mkdir -p "$root/target/ort"
work=$(mktemp -d "$root/target/ort/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

echo "get_onnxruntime: fetching ONNX Runtime $version for $(uname -m)" >&2
echo "onnxruntime==$version --hash=sha256:$sha256" >"$work/requirements.txt"
if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --implementation cp --python-version 3.12 \
    --platform "manylinux_2_27_$(uname -m)" --platform "manylinux_2_28_$(uname -m)" \
    --dest "$work/wheel" --requirement "$work/requirements.txt" >&2; then
    echo "get_onnxruntime: pip could not fetch onnxruntime $version; its reason stands above." >&2
    echo "get_onnxruntime: check the network and the package index (pip config list), then run $0 again." >&2
    exit 1
fi

python3 -m zipfile -e "$work"/wheel/*.whl "$work/unpacked"
mkdir "$work/lib"
cp "$work"/unpacked/onnxruntime/capi/libonnxruntime*.so* "$work/lib/"
cp "$work/unpacked/onnxruntime/LICENSE" "$work/unpacked/onnxruntime/ThirdPartyNotices.txt" "$work/lib/"
if [ ! -s "$work/lib/libonnxruntime.so.$version" ]; then
    echo "get_onnxruntime: the wheel holds no libonnxruntime.so.$version" >&2
    exit 1
fi
# The wheel ships no links. The major version's link is what programs linked at build time look for.
ln -s "libonnxruntime.so.$version" "$work/lib/libonnxruntime.so"
ln -s "libonnxruntime.so.$version" "$work/lib/libonnxruntime.so.1"
echo "$stamp" >"$work/lib/stamp"

rm -rf "$lib"
mv "$work/lib" "$lib"
echo "get_onnxruntime: $lib/libonnxruntime.so.$version" >&2
