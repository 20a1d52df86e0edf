#!/usr/bin/env bash
# Puts on this machine what building and running need, and with --tests what the tests need on top.
# Debian and Ubuntu. Installs only what is missing; with nothing missing it is instant and needs no network.
set -euo pipefail

usage() {
    echo "usage: $0 [--tests]" >&2
    exit 64
}

tests=no
case "$#:${1:-}" in
0:) ;;
1:--tests) tests=yes ;;
*) usage ;;
esac

missing=()
need() { # PACKAGE COMMAND...: the package is needed unless the command succeeds
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
installed() { # PACKAGE
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1")" = installed ]
}
libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] || installed libclang-dev || compgen -G '/usr/lib/llvm-*/lib/libclang.so'
}
python_has() { # MODULE...
    python3 -c 'import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in sys.argv[1:]))' "$@"
}
# A plain user's PATH has no sbin on Debian, where mosquitto lives.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

need gcc command -v cc
need libc6-dev test -e /usr/include/stdio.h
need libclang-dev libclang # the bindings to V4L2 are generated while building
need python3-pip python_has pip
if [ "$tests" = yes ]; then
    need mosquitto command -v mosquitto
    need chromium-driver command -v chromedriver # and with it chromium
    need python3-venv python_has venv ensurepip
    need systemd command -v systemd-analyze
    need nodejs command -v node
fi

if [ "${#missing[@]}" -gt 0 ]; then
    run=()
    if ! command -v apt-get >/dev/null; then
        echo "setup: missing, in Debian's names: ${missing[*]}. There is no apt-get here: install them by hand." >&2
        exit 69
    elif [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "setup: missing: ${missing[*]}. Neither root nor sudo is here; as root: apt-get install ${missing[*]}" >&2
            exit 69
        fi
        run=(sudo)
    fi
    echo "setup: installing ${missing[*]}" >&2
    # Quiet, yet with its errors; its progress is no news to the reader of a build log.
    "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# Debian's packages of promtool and nginx start a server where they are installed, so only their files are taken out of them.
tools=$(dirname "$0")/../target/tools
extract() { # PACKAGE PROGRAM LACK
    ! command -v "$(basename "$2")" >/dev/null && [ ! -x "$tools/$2" ] || return 0
    local folder update=(apt-get update -qq)
    folder=$(mktemp -d)
    # As root, apt fetches as another user, who must be able to write there.
    chmod 777 "$folder"
    fetch() { (cd "$folder" && apt-get download -qq "$1"); }
    [ "$(id -u)" = 0 ] || update=(sudo -n "${update[@]}")
    if fetch "$1" 2>/dev/null || { "${update[@]}" && fetch "$1"; }; then
        mkdir -p "$tools"
        dpkg --extract "$folder/$1"_*.deb "$tools"
    else
        echo "setup: no $(basename "$2"): $3" >&2
    fi
    rm -rf "$folder"
}
if [ "$tests" = yes ]; then
    extract prometheus usr/bin/promtool 'the rules in docs/monitoring are not checked'
    extract nginx usr/sbin/nginx 'the page is not tested behind a proxy'
fi

if ! command -v cargo >/dev/null; then
    echo "setup: there is no Rust toolchain here (cargo); https://rustup.rs installs one" >&2
    exit 69
fi

"$(dirname "$0")/get_onnxruntime.sh"
