#!/usr/bin/env bash
# Copies what was built to where a station runs it. Starts nothing, makes no user, and can be repeated: a settings file
# that a person has edited stays as it is, and the new one is put beside it with the ending .new.
#
#   PREFIX/lib/diad/diad, lib/      the program, and the ONNX Runtime library where it looks first
#   PREFIX/bin/diad                 a link to the program
#   PREFIX/lib/{systemd/system,sysusers.d,tmpfiles.d}
#   PREFIX/share/diad/models/       the default model bundle
#   PREFIX/share/diad/foundation/   the feature networks for `diad learn`, if `make setup-foundation` has fetched them
#   PREFIX/share/diad/config/       the settings as shipped, examples, udev rules for cameras
#   PREFIX/share/doc/diad/          licences
#   PREFIX/share/man/man1/          a man page for each command; completions where bash, zsh and fish look for them
#   /etc/diad/                      diad.yaml and thresholds.yaml: this station's settings
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat >&2 <<END
usage: $0 [--prefix /usr/local|/usr] [--destdir DIR] [--program FILE] [--library DIR] [--model DIR] [--foundation DIR]
          [--manual DIR]
  --destdir  a root to install under, for making packages
  --program  the program, by default target/release/diad
  --library  the folder of libonnxruntime.so, by default target/ort/lib
  --model    the default model bundle, by default onnx/models/diad-tiny
  --manual   man pages and completions, by default target/manual
  --foundation  the folder of the feature networks, by default target/foundation; left out where it is missing
END
    exit 64
}
fail() {
    echo "install: $1" >&2
    exit "$2"
}

prefix=/usr/local destdir='' program=target/release/diad library=target/ort/lib model=onnx/models/diad-tiny
foundation=target/foundation manual=target/manual
while [ "$#" -gt 0 ]; do
    [ "$#" -ge 2 ] || usage
    case $1 in
    --prefix) prefix=$2 ;;
    --destdir) destdir=${2%/} ;;
    --program) program=$2 ;;
    --library) library=$2 ;;
    --model) model=$2 ;;
    --foundation) foundation=$2 ;;
    --manual) manual=$2 ;;
    *) usage ;;
    esac
    shift 2
done
case $prefix in
/usr | /usr/local) ;;
*) fail "--prefix $prefix: systemd looks for units below /usr/local and /usr only" 64 ;;
esac
[ -x "$program" ] || fail "$program is missing; make build makes it" 69
[ -s "$library/libonnxruntime.so" ] || fail "$library/libonnxruntime.so is missing; make setup fetches it" 69
[ -s "$model/manifest.json" ] || fail "$model/manifest.json is missing; the default model bundle is part of the checkout" 69
[ -s "$manual/man1/diad.1" ] || fail "$manual/man1/diad.1 is missing; make build makes it" 69

lib=$destdir$prefix/lib share=$destdir$prefix/share/diad doc=$destdir$prefix/share/doc/diad etc=$destdir/etc/diad
bundle=$prefix/share/diad/models/$(basename "$model")

# Files are put beside their place and renamed into it: a running station keeps the program and the library it started
# with, and an interrupted call leaves no half of a file.
put() { # MODE FILE TARGET
    install -D -m "$1" "$2" "$3.part"
    mv -f "$3.part" "$3"
}
put_folder() { # FOLDER TARGET: what the folder does not have, the target has no more
    rm -rf "$2.part"
    mkdir -p "$2.part"
    cp -R --preserve=links "$1/." "$2.part/"
    chmod -R u=rwX,go=rX "$2.part"
    rm -rf "$2"
    mv "$2.part" "$2"
}

put 755 "$program" "$lib/diad/diad"
put_folder "$library" "$lib/diad/lib"
mkdir -p "$destdir$prefix/bin"
ln -sfn ../lib/diad/diad "$destdir$prefix/bin/diad"
put_folder "$model" "$destdir$bundle"
for spec in "$foundation"/*/foundation.json; do
    [ -s "$spec" ] || continue # none was fetched
    put_folder "$(dirname "$spec")" "$share/foundation/$(basename "$(dirname "$spec")")"
done
put 644 systemd/diad.sysusers.conf "$lib/sysusers.d/diad.conf"
put 644 systemd/diad.tmpfiles.conf "$lib/tmpfiles.d/diad.conf"
put 644 systemd/99-diad-cameras.rules "$share/config/99-diad-cameras.rules"
for page in "$manual"/man1/*.1; do
    put 644 "$page" "$destdir$prefix/share/man/man1/$(basename "$page")"
done
put 644 "$manual/bash/diad.bash" "$destdir$prefix/share/bash-completion/completions/diad"
put 644 "$manual/zsh/_diad" "$destdir$prefix/share/zsh/site-functions/_diad"
put 644 "$manual/fish/diad.fish" "$destdir$prefix/share/fish/vendor_completions.d/diad.fish"
put 644 LICENSE-MIT "$doc/LICENSE-MIT"
put 644 LICENSE-APACHE "$doc/LICENSE-APACHE"

# Three paths differ from the checkout's: the program's in the unit, the bundle's and the thresholds' in the settings and the
# examples of them.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rewrite() { # FILE OLD NEW: one line of the file, which must be there, so that a change in the checkout is noticed
    [ "$(grep -cxF -- "$2" "$1")" = 1 ] || fail "$1: there should be one line: $2" 70
    awk -v old="$2" -v new="$3" '$0 == old { $0 = new } { print }' "$1" >"$work/rewritten"
    mv "$work/rewritten" "$1"
}
cp systemd/diad.service config/diad.yaml config/thresholds.yaml "$work/"
start='/bin/diad run --config /etc/diad/diad.yaml' reload='/bin/diad check --config /etc/diad/diad.yaml'
rewrite "$work/diad.service" "ExecStart=/usr/local$start" "ExecStart=$prefix$start"
env='ExecReload=/usr/bin/env -u DIAD__MQTT__PASSWORD_FILE -u DIAD__MQTT__CERT_FILE -u DIAD__MQTT__KEY_FILE '
rewrite "$work/diad.service" "$env/usr/local$reload" "$env$prefix$reload"
rewrite "$work/diad.yaml" '  model: onnx/models/diad-tiny' "  model: $bundle"
rewrite "$work/diad.yaml" 'thresholds: config/thresholds.yaml' 'thresholds: /etc/diad/thresholds.yaml'
put 644 "$work/diad.service" "$lib/systemd/system/diad.service"
cp -R config/examples "$work/examples"
for example in "$work"/examples/*.yaml; do
    rewrite "$example" 'engine: { model: onnx/models/diad-tiny }' "engine: { model: $bundle }"
    rewrite "$example" 'thresholds: config/thresholds.yaml' 'thresholds: /etc/diad/thresholds.yaml'
done
put_folder "$work/examples" "$share/config/examples"

for name in diad.yaml thresholds.yaml; do
    # The copy as shipped tells an edited file from one that is merely of the version before.
    shipped=$share/config/$name
    if [ ! -e "$etc/$name" ] || cmp -s "$shipped" "$etc/$name"; then
        put 644 "$work/$name" "$etc/$name"
    elif ! cmp -s "$work/$name" "$etc/$name" && ! cmp -s "$work/$name" "$shipped"; then
        put 644 "$work/$name" "$etc/$name.new"
        echo "install: $etc/$name was edited and stays; the new version is $etc/$name.new" >&2
    fi
    put 644 "$work/$name" "$shipped"
done

if [ -z "$destdir" ]; then
    cat <<END
install: done. Next, as root:
  systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload
  diad check --config /etc/diad/diad.yaml
  systemctl enable --now diad
END
    if [ "$model" != onnx/models/diad-tiny ] && ! grep -qwF -- "$bundle" "$etc/diad.yaml"; then
        echo "  $etc/diad.yaml was edited and names another model; for this one: engine.model: $bundle"
    fi
    if systemctl is-active --quiet diad 2>/dev/null; then
        echo "  diad runs, with what it started with: systemctl restart diad"
    fi
fi
