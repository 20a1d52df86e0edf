#!/usr/bin/env bash
# Installs into a temporary folder, again, and over edited settings. Stand-ins take the place of what is not built.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
    echo "install: $1" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

mkdir -p "$work/library" "$work/diad-tiny"
printf '#!/bin/sh\necho stand-in\n' >"$work/program"
chmod 755 "$work/program"
echo stand-in >"$work/library/libonnxruntime.so.1.2.3"
ln -s libonnxruntime.so.1.2.3 "$work/library/libonnxruntime.so"
echo '{}' >"$work/diad-tiny/manifest.json"
mkdir -p "$work/foundation/small" "$work/foundation/.setup.half"
echo '{}' >"$work/foundation/small/foundation.json"
echo graph >"$work/foundation/small/foundation.onnx"
for page in man1/diad.1 man1/diad-learn.1 bash/diad.bash zsh/_diad fish/diad.fish; do
    install -D /dev/null "$work/manual/$page"
    echo stand-in >"$work/manual/$page"
done

run() {
    scripts/install.sh --prefix "${prefix:-/usr/local}" --destdir "$root" --program "$work/program" \
        --library "$work/library" --model "$work/diad-tiny" --foundation "$work/foundation" \
        --manual "$work/manual" 2>"$work/said"
}
refuses() { # EXIT_STATUS WORDS OPTION...
    local want=$1 words=$2 got=0
    shift 2
    scripts/install.sh --destdir "$work/refused" "$@" 2>"$work/said" || got=$?
    [ "$got" = "$want" ] || fail "install.sh $* ended with $got, not $want"
    grep -qF -- "$words" "$work/said" || fail "install.sh $* does not say: $words"
    [ ! -e "$work/refused" ] || fail "install.sh $* left something behind"
}
tree() { (cd "$root" && find . -type f -exec sha256sum {} + -o -type l -printf '%p -> %l\n' | sort -k 2); }

run || fail "the first installation failed: $(cat "$work/said")"
[ "$("$root/usr/local/bin/diad")" = stand-in ] || fail "PREFIX/bin/diad does not run"
program=$(readlink -f "$root/usr/local/bin/diad")
[ -s "$(dirname "$program")/lib/libonnxruntime.so" ] || fail "the library is not beside the program"
[ -s "$root/usr/local/share/diad/foundation/small/foundation.onnx" ] || fail "the foundation is not where the program looks"
[ "$(ls -A "$root/usr/local/share/diad/foundation")" = small ] || fail "more than whole foundations was installed"
for page in man/man1/diad.1 man/man1/diad-learn.1 bash-completion/completions/diad zsh/site-functions/_diad \
    fish/vendor_completions.d/diad.fish; do
    [ -s "$root/usr/local/share/$page" ] || fail "PREFIX/share/$page was not installed"
done
etc=$root/etc/diad
named() { sed -n "s/^ *$1: //p" "$etc/diad.yaml"; }
[ -s "$root$(named model)/manifest.json" ] || fail "diad.yaml names no installed bundle: $(named model)"
[ -s "$root$(named thresholds)" ] || fail "diad.yaml names no installed thresholds: $(named thresholds)"
for example in "$root"/usr/local/share/diad/config/examples/*.yaml; do
    grep -qF "model: $(named model) }" "$example" || fail "$example names no installed bundle"
    grep -qxF "thresholds: $(named thresholds)" "$example" || fail "$example names no installed thresholds"
done
grep -q '^ExecStart=/usr/local/bin/diad ' "$root/usr/local/lib/systemd/system/diad.service" || fail "the unit starts another program"
[ -z "$(find "$root" -name '*.part')" ] || fail "a .part file was left behind"
[ -z "$(find "$root" -type f ! -perm -444)" ] || fail "a file cannot be read by everybody"

tree >"$work/first"
run || fail "the second installation failed: $(cat "$work/said")"
tree | diff "$work/first" - || fail "the second installation changed something"

# A file of the version before, unedited, is replaced; an edited one stays and gets the new version beside it.
share=$root/usr/local/share/diad/config
echo '# the version before' | tee "$share/diad.yaml" "$share/thresholds.yaml" >"$etc/diad.yaml"
echo '# edited' >"$etc/thresholds.yaml"
run || fail "the installation over edited settings failed: $(cat "$work/said")"
[ "$(cat "$etc/thresholds.yaml")" = '# edited' ] || fail "an edited file was overwritten"
cmp -s config/thresholds.yaml "$etc/thresholds.yaml.new" || fail "there is no thresholds.yaml.new"
grep -q 'thresholds.yaml was edited' "$work/said" || fail "the installation does not say that a file was edited"
cmp -s "$share/diad.yaml" "$etc/diad.yaml" || fail "the unedited diad.yaml was not brought up to date"

rm "$etc/thresholds.yaml.new"
run || fail "the repeated installation failed: $(cat "$work/said")"
[ "$(cat "$etc/thresholds.yaml")" = '# edited' ] || fail "an edited file was overwritten the second time"
[ ! -e "$etc/thresholds.yaml.new" ] || fail "the same version was offered twice"

rm -r "$root"
prefix=/usr run || fail "the installation under /usr failed: $(cat "$work/said")"
unit=$root/usr/lib/systemd/system/diad.service
grep -q '^ExecStart=/usr/bin/diad ' "$unit" || fail "the unit ignores the prefix"
! grep -q '^Exec.*=/usr/local' "$unit" || fail "the unit names a program outside the prefix"
[ -s "$root$(named model)/manifest.json" ] || fail "diad.yaml ignores the prefix"

refuses 64 '/usr/local and /usr only' --prefix /opt
refuses 64 'usage:' --colour
refuses 69 'make build' --program "$work/absent"
refuses 69 'make setup' --program "$work/program" --library "$work"
refuses 69 'manifest.json is missing' --program "$work/program" --library "$work/library" --model "$work"
refuses 69 'diad.1 is missing' --program "$work/program" --library "$work/library" --model "$work/diad-tiny" --manual "$work"
echo "install: first, repeated, over edited settings and under /usr: sound"
