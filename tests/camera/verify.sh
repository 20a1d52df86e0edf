#!/usr/bin/env bash
# Cameras on a real driver: boots a kernel of Debian's with vivid, its camera without a camera, in an emulated machine, and
# runs crates/diad_capture/tests/vivid.rs there, faults and all. A minute; needs no right but to fetch the kernel once.
# Says so and ends with 0 where the emulator or the kernel cannot be had.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
    echo "camera: skipped: cameras on a real driver: $1"
    exit 0
}
PATH=$PATH:/usr/sbin:/sbin
need=(qemu-system-x86_64:qemu-system-x86 busybox:busybox-static depmod:kmod cpio:cpio zstd:zstd v4l2-ctl:v4l-utils)
missing=()
for each in "${need[@]}"; do
    command -v "${each%:*}" >/dev/null || missing+=("${each#*:}")
done
[ "${#missing[@]}" = 0 ] || skip "apt-get install --no-install-recommends ${missing[*]}"
[ "$(uname -m)" = x86_64 ] || skip "the tests are built for this machine and run on an emulated x86-64"

# The kernel is unpacked, not installed.
base=$PWD/target/camera
kernel=$base/kernel
if [ ! -e "$kernel.made" ]; then
    rm -rf "$kernel"
    mkdir -p "$kernel"
    # As root, apt fetches as another user, who must be able to write there.
    fetched=$(mktemp -d)
    trap 'rm -rf "$fetched"' EXIT
    chmod 777 "$fetched"
    package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p' | head -n 1)
    [ -n "$package" ] || skip "apt knows no linux-image-amd64"
    (cd "$fetched" && apt-get download -qq "$package") || skip "apt-get download $package failed"
    dpkg --extract "$fetched"/linux-image-*.deb "$kernel"
    touch "$kernel.made"
fi
release=$(basename "$kernel"/lib/modules/*)
[ -e "$kernel/lib/modules/$release/modules.dep.bin" ] || depmod --basedir "$kernel" "$release"

tests=$(cargo test --locked -p diad_capture --test vivid --no-run --message-format json |
    sed -n 's/.*"executable":"\([^"]*vivid-[^"]*\)".*/\1/p')

root=$base/root
rm -rf "$root"
mkdir -p "$root"/{bin,dev,proc,sys,tmp}
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$tests" "$root/bin/vivid"
cp "$(command -v v4l2-ctl)" "$root/bin/"
modules=$(modprobe --dirname "$kernel" --set-version "$release" --show-depends vivid | sed -n 's/^insmod \([^ ]*\).*/\1/p')
for module in $modules; do
    cp "$module" "$root/"
    basename "$module"
done >"$root/modules"
for program in vivid v4l2-ctl; do
    ldd "$root/bin/$program" | grep -o '/[^ ]*'
done | sort -u | while read -r library; do
    mkdir -p "$root/$(dirname "$library")"
    cp -L "$library" "$root/$library"
done
cat >"$root/init" <<'INSIDE'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
# One camera with a webcam's sizes and nothing else, and with its buttons for faults.
while read -r module; do
    insmod "/$module" $([ "$module" != vivid.ko ] || echo n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0 no_error_inj=0)
done </modules
vivid --ignored --test-threads=1
echo "camera: exit status $?"
poweroff -f
INSIDE
chmod 755 "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc | zstd -q -3 -f -o ../initrd.zst)

# Emulated: hardware acceleration may be missing, and is not needed.
timeout 600 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 -nographic -nic none -no-reboot \
    -kernel "$kernel/boot/vmlinuz-$release" -initrd "$base/initrd.zst" \
    -append "console=ttyS0 quiet panic=-1 tsc=unstable random.trust_cpu=1" </dev/null | tr -d '\r' | tee "$base/console"
grep -q '^camera: exit status 0$' "$base/console" && grep -q '^test result: ok. [1-9]' "$base/console"
