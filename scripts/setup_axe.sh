#!/usr/bin/env bash
# Fetches axe-core, which the test of the page's layout checks accessibility with, into target/tools/axe. For tests alone:
# no program of this project contains it (MPL-2.0).
set -euo pipefail

[ "$#" = 0 ] || { echo "usage: $0" >&2; exit 64; }

version=4.14.1
tools=$(dirname "$0")/../target/tools
if [ -f "$tools/axe/axe.min.js" ]; then exit 0; fi
if ! command -v npm >/dev/null; then
    echo "setup: no npm: the accessibility of the page is not checked" >&2
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# npm compares the archive with the checksum of the registry.
(cd "$folder" && npm pack --silent "axe-core@$version" >/dev/null && tar -xzf "axe-core-$version.tgz")
mkdir -p "$tools/axe"
mv "$folder/package/axe.min.js" "$folder/package/LICENSE" "$tools/axe/"
