#!/usr/bin/env bash
# The unit under a real systemd: boots a small Debian in a container, installs the program there as a person would, and
# sees it become ready, judge, reload, be ended by the watchdog, come back, and stop. Needs root, debootstrap and
# systemd-nspawn; says so and ends with 0 where they are not. The container's Debian is made once, below target/systemd.
#
#   tests/systemd/container.sh [PROGRAM]     by default target/release/diad, as `make build` makes it
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
    echo "systemd: skipped: a container with systemd: $1"
    exit 0
}
[ "$(id -u)" = 0 ] || skip "only root can boot one"
command -v debootstrap >/dev/null || skip "apt-get install debootstrap"
command -v systemd-nspawn >/dev/null || skip "apt-get install systemd-container"

program=${1:-target/release/diad}
packages=systemd,systemd-sysv,dbus,mosquitto,mosquitto-clients,libstdc++6
base=$PWD/target/systemd/base
if [ ! -e "$base.made" ]; then
    rm -rf "$base"
    mkdir -p "$base"
    debootstrap --variant=minbase --include=$packages bookworm "$base" http://deb.debian.org/debian >"$base.log" 2>&1 ||
        skip "debootstrap failed, see $base.log"
    touch "$base.made"
fi

# The base stays as it is: what a run writes lies over it and goes with it.
foreign=$(find /sys/fs/cgroup -maxdepth 2 -name payload)
work=$(mktemp -d)
root=$work/root
mkdir "$work/upper" "$work/under" "$root"
clean() {
    umount "$root" 2>/dev/null || true
    # systemd-nspawn leaves its two control groups behind where no systemd looks after them.
    for group in /sys/fs/cgroup/{,*/}{payload,supervisor}; do
        [ -n "$foreign" ] || [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} +
    done
    rm -rf "$work"
}
trap clean EXIT
mount -t overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/under" overlay "$root" 2>/dev/null ||
    cp -a "$base/." "$root"

scripts/install.sh --destdir "$root" --program "$program" >/dev/null
model=$(sed -n 's/^  model: //p' "$root/etc/diad/diad.yaml")
cat >"$root/etc/diad/diad.yaml" <<YAML
line: L1
station: S1
cameras:
  - { id: cam0, source: { kind: rendered }, trigger: { kind: free_run, every_ms: 500 } }
deadline_ms: 20000
engine: { model: $model, provider: cpu }
ledger: { path: /var/lib/diad/ledger.sqlite3 }
thresholds: /etc/diad/thresholds.yaml
YAML

# Runs inside, as root, and says what it sees on the console.
cat >"$root/usr/local/bin/see" <<'INSIDE'
#!/bin/bash
set -euo pipefail
say() { echo "systemd: $*"; }
trap 'say "FAILED in line $LINENO: $BASH_COMMAND"; systemctl status --no-pager diad || true; journalctl --no-pager -u diad -n 40' ERR
shown() { systemctl show --property "$1" --value diad; }
until_shown() { # PROPERTY VALUE: waits for it, at most a minute
    for _ in $(seq 600); do
        [ "$(shown "$1")" != "$2" ] || return 0
        sleep 0.1
    done
    say "$1 is $(shown "$1"), not $2"
    return 1
}
heard() { mosquitto_sub -h 127.0.0.1 -W 30 -C 1 -t "factory/L1/S1/$1"; }
logged() { # TEXT: waits for it in the journal, at most a minute
    for _ in $(seq 600); do
        ! journalctl --no-pager -u diad -o cat | grep -qF -- "$1" || return 0
        sleep 0.1
    done
    say "not in the journal: $1"
    return 1
}

systemd-sysusers
systemd-tmpfiles --create
systemctl daemon-reload
diad check --config /etc/diad/diad.yaml
systemctl start mosquitto
systemctl enable --now diad 2>/dev/null
[ "$(shown ActiveState)/$(shown SubState)" = active/running ]
say "ready: $(shown StatusText), as user $(stat --format=%U "/proc/$(shown MainPID)")"
[ "$(stat --format=%U "/proc/$(shown MainPID)")" = diad ]
heard state | grep -q '"state":"ready"'
say "verdict: $(heard verdict | grep -o '"verdict":"[A-Z]*"')"

echo 'default: { review: 0.11, reject: 0.51 }' >/etc/diad/thresholds.yaml
systemctl reload diad
logged "asked to read thresholds and settings again"
logged "thresholds taken over"
say "reload: thresholds taken over, the process lives on"
echo 'default: { review: 2 ' >/etc/diad/thresholds.yaml
if systemctl reload diad 2>/dev/null; then false; fi
say "reload: a file with a mistake is refused"

echo 'default: { review: 0.11, reject: 0.51 }' >/etc/diad/thresholds.yaml
[ "$(shown ActiveState)/$(shown NRestarts)" = active/0 ]

first=$(shown MainPID)
kill -STOP "$first"
until_shown NRestarts 1
logged "watchdog"
until_shown ActiveState active
[ "$(shown MainPID)" != "$first" ]
say "watchdog: a process that hangs was ended and started anew, NRestarts=$(shown NRestarts)"
heard verdict >/dev/null
say "verdict after it: heard"

systemctl stop diad
[ "$(shown ActiveState)/$(shown Result)/$(shown ExecMainStatus)" = inactive/success/0 ]
say "stop: clean, exit status $(shown ExecMainStatus)"
diad ledger verify --ledger /var/lib/diad/ledger.sqlite3
say "all seen"
INSIDE
chmod 755 "$root/usr/local/bin/see"
cat >"$root/etc/systemd/system/see.service" <<UNIT
[Unit]
After=multi-user.target
# However it ends, so does the container.
SuccessAction=exit
FailureAction=exit

[Service]
Type=oneshot
TimeoutStartSec=300
ExecStart=/usr/local/bin/see
StandardOutput=file:/see.log
StandardError=file:/see.log

[Install]
WantedBy=default.target
UNIT
mkdir -p "$root/etc/systemd/system/graphical.target.wants"
ln -s ../see.service "$root/etc/systemd/system/graphical.target.wants/see.service"
ln -sf /usr/lib/systemd/system/graphical.target "$root/etc/systemd/system/default.target"

systemd-nspawn --directory="$root" --register=no --keep-unit --private-network --quiet --console=pipe --boot \
    </dev/null >"$work/console" 2>&1 || true
cat "$root/see.log" || cat "$work/console"
grep -qx 'systemd: all seen' "$root/see.log"
