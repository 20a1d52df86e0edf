#!/usr/bin/env bash
# Makes .venv with the Python project in onnx/ and its tools, in the versions of onnx/constraints.txt.
# About 5 GB, nearly all of it PyTorch. The second call is instant.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup_python: Python 3.11 or newer is needed, this is $(python3 --version)" >&2
    exit 69
fi

stamp=$(python3 --version && sha256sum onnx/pyproject.toml onnx/constraints.txt)
if [ "$(cat .venv/stamp 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi

echo "setup_python: making .venv (about 5 GB, some minutes the first time)" >&2
# The stamp comes last, so an environment that was left half done is made anew.
python3 -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --constraint onnx/constraints.txt --editable 'onnx[dev]'
echo "$stamp" >.venv/stamp
