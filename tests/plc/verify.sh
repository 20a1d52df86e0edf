#!/usr/bin/env bash
# The samples for controllers: what can be run runs on messages as a station sends them, the rest has room for them.
set -euo pipefail
cd "$(dirname "$0")/../.."

python3 tests/plc/check.py
if command -v node >/dev/null; then
    node tests/plc/flow.js
else
    echo "skipped: node is not installed; it would run the functions of docs/plc/nodered.json"
fi
