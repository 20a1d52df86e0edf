#!/usr/bin/env bash
# Holds the unit, the user and the folders of systemd/ to systemd's own reading of them. Starts nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
    echo "systemd: $1" >&2
    exit 1
}
command -v systemd-analyze >/dev/null || fail "systemd-analyze is needed: sudo apt-get install -y systemd"

# systemd reads units below a root of our own: what else is installed on this machine has no say, and the programs, of
# which ours may not be built yet, are stand-ins.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
units=$root/usr/local/lib/systemd/system
mkdir -p "$units" "$root/usr/local/bin" "$root/usr/bin" "$root/bin" "$root/etc"
cp systemd/diad.service "$units/"
for program in usr/local/bin/diad usr/bin/env bin/sh; do
    cp -L /bin/true "$root/$program"
done
for target in sysinit basic network shutdown multi-user; do
    printf '[Unit]\nDescription=%s\n' "$target" >"$units/$target.target"
done

verify() { # prints what systemd has to say; a key it does not know is a mere warning to it, with exit status 0
    systemd-analyze verify --root="$root" diad.service 2>&1 || echo "exit status $?"
}
said=$(verify)
[ -z "$said" ] || fail "systemd-analyze verify says
$said"
sed 's/^WatchdogSec=/WatchdgSec=/' systemd/diad.service >"$units/diad.service"
[ -n "$(verify)" ] || fail "a misspelt key went unseen, so silence proves nothing"

# 0 is closed, 100 wide open.
systemd-analyze security --offline=true --threshold=25 "$PWD/systemd/diad.service" >"$root/exposure" ||
    fail "the service is more exposed than it has to be
$(cat "$root/exposure")"

# As an installation does it, in the other order it would not know the owner of the folders.
if [ "$(id -u)" = 0 ]; then
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\nvideo:x:44:\n' >"$root/etc/group"
    systemd-sysusers --root="$root" "$PWD/systemd/diad.sysusers.conf" 2>"$root/said" || fail "$(cat "$root/said")"
    grep -q '^video:x:44:diad$' "$root/etc/group" || fail "user diad is not in group video"
    systemd-tmpfiles --root="$root" --create "$PWD/systemd/diad.tmpfiles.conf" 2>"$root/said" || fail "$(cat "$root/said")"
    owner=$(sed -n 's/^diad:x:\([0-9]*:[0-9]*\):.*/\1/p' "$root/etc/passwd")
    [ "$(stat --format=%u:%g:%a "$root/var/lib/diad")" = "$owner:750" ] || fail "/var/lib/diad has the wrong owner or mode"
    [ "$(stat --format=%u:%g:%a "$root/etc/diad")" = 0:0:755 ] || fail "/etc/diad has the wrong owner or mode"
else
    echo "systemd: skipped: user and folders, which only root can make"
fi
echo "systemd: the unit is sound, $(grep -o 'exposure level.*: [0-9.]*' "$root/exposure") of 10"
