//! What surrounds the engine: cameras, broker, disk, clock, permissions, systemd, cores and memory. None of it keeps a
//! part from being judged, so the worst that comes of these checks is a warning.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use diad_capture::{DeviceInfo, OpenError, list_devices};
use diad_publish::wire::Moment;
use rustix::fs::{Access, access, statvfs};

use super::Check;
use super::bounded::within;
use crate::command::cameras::obstacle;
use crate::settings::Variable;

/// The broker of the default settings.
const BROKER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1883);

/// How long the broker may take to accept a connection.
const BROKER_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a station keeps what must outlive it.
const STATE_FOLDER: &str = "/var/lib/diad";

/// Free disk space and free memory below this are worth a warning, in bytes.
const SCARCE_BYTES: u64 = 1 << 30;

/// 2025-01-01, in seconds since 1970: a clock before that has never been set.
const OLDEST_SANE_SECS: u64 = 1_735_689_600;

/// systemd-timesyncd makes this file when it has set the clock.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// How long `timedatectl` may take.
const TIMEDATECTL_TIMEOUT: Duration = Duration::from_secs(5);

/// systemd makes this folder when it runs the machine.
const SYSTEMD: &str = "/run/systemd/system";

pub(super) fn checks(variables: &[Variable]) -> Vec<Check> {
    let state = Path::new(STATE_FOLDER);
    let mut checks = cameras(&list_devices());
    checks.push(broker(BROKER, BROKER_TIMEOUT));
    checks.push(disk(state));
    checks.push(state_folder(state));
    checks.push(clock_now());
    checks.extend(surroundings(variables));
    checks
}

/// The clock of this machine.
pub(super) fn clock_now() -> Check {
    let synchronised = if Path::new(SYNCHRONISED).exists() { Some(true) } else { synchronised() };
    clock(SystemTime::now(), synchronised)
}

/// What a station stands on, whatever its settings are.
pub(super) fn surroundings(variables: &[Variable]) -> [Check; 3] {
    let meminfo = fs::read_to_string("/proc/meminfo");
    [service(Path::new(SYSTEMD), variables), cores(), memory(meminfo.as_deref().unwrap_or_default())]
}

/// Whether the clock is kept by NTP, as `timedatectl` says; none where it cannot say.
fn synchronised() -> Option<bool> {
    let asked = within(TIMEDATECTL_TIMEOUT, || {
        Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output()
    });
    answer(&String::from_utf8(asked.ok()?.ok()?.stdout).ok()?)
}

fn answer(told: &str) -> Option<bool> {
    match told.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn cameras(devices: &[DeviceInfo]) -> Vec<Check> {
    if devices.is_empty() {
        let remedy = "plug in a camera that speaks UVC, or run on replayed or rendered pictures";
        return vec![Check::warning("cameras", "none: this machine has no /dev/videoN", remedy)];
    }
    devices.iter().map(camera).collect()
}

fn camera(device: &DeviceInfo) -> Check {
    let name = format!("camera {}", device.path.display());
    let detail = |what: &str| format!("{}: {what}", device.name);
    match (obstacle(device), &device.formats) {
        (Some(why), Err(OpenError::Access { .. })) => {
            Check::warning(name, detail(&why), "sudo usermod -aG video \"$USER\", then log in again")
        }
        (Some(why), Err(_)) => {
            Check::warning(name, detail(&why), "end other programs that use it, or plug it in again")
        }
        (Some(why), Ok(_)) => Check::fine(name, detail(&why)),
        (None, formats) => {
            let count = formats.as_ref().map_or(0, Vec::len);
            Check::fine(name, detail(&format!("may be read and written; formats: {count}")))
        }
    }
}

fn broker(address: SocketAddr, timeout: Duration) -> Check {
    match TcpStream::connect_timeout(&address, timeout) {
        Ok(_) => Check::fine("broker", format!("{address} accepts connections")),
        Err(error) => Check::warning(
            "broker",
            format!("{address} does not accept connections: {error}"),
            "start a broker here (sudo apt-get install mosquitto); yours elsewhere, named in the settings as mqtt.url, is \
             not asked",
        ),
    }
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"))
}

fn disk(state: &Path) -> Check {
    let folder = existing(state);
    match statvfs(folder) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let detail = format!("{} free at {}", gib(free), folder.display());
            if free < SCARCE_BYTES {
                Check::warning("disk", detail, "make room: 1 GiB is the least for a station that keeps records")
            } else {
                Check::fine("disk", detail)
            }
        }
        Err(error) => {
            let detail = format!("free space at {} is not known: {}", folder.display(), io::Error::from(error));
            Check::warning("disk", detail, "look with `df`")
        }
    }
}

fn state_folder(state: &Path) -> Check {
    let folder = existing(state);
    let (shown, is_there) = (state.display(), folder == state);
    match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if is_there => Check::fine("state folder", format!("{shown} may be written")),
        Ok(()) => Check::fine("state folder", format!("{shown} is not there yet; this user may make it")),
        Err(error) => {
            let what = if is_there { "may not be written" } else { "is not there and may not be made" };
            let detail = format!("{shown} {what}: {}", io::Error::from(error));
            // On a station it is the service's, and must stay so.
            let remedy = if is_there {
                "ask as the user of the service: sudo -u diad diad doctor".to_owned()
            } else {
                format!("diad.service makes it for its own user; for this one: sudo install -d -o \"$USER\" {shown}")
            };
            Check::warning("state folder", detail, remedy)
        }
    }
}

fn clock(now: SystemTime, synchronised: Option<bool>) -> Check {
    let detail = |what: &str| format!("{}, {what}", Moment::from(now));
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if since_1970.as_secs() < OLDEST_SANE_SECS {
        return Check::warning("clock", detail("never set since power-up"), "set it: sudo timedatectl set-ntp true");
    }
    match synchronised {
        Some(true) => Check::fine("clock", detail("synchronised")),
        Some(false) => {
            let remedy =
                "sudo timedatectl set-ntp true, or name a time server to chrony; verdicts carry this clock's time";
            Check::warning("clock", detail("not synchronised"), remedy)
        }
        None => {
            let remedy = "`timedatectl` or `chronyc tracking` tells; verdicts carry this clock's time";
            Check::skipped("clock", detail("not known to be synchronised"), remedy)
        }
    }
}

fn service(systemd: &Path, variables: &[Variable]) -> Check {
    let socket = variables.iter().find(|(name, _)| name == "NOTIFY_SOCKET").map(|(_, socket)| socket);
    match socket {
        Some(socket) => {
            Check::fine("systemd", format!("started as a service, reports to {}", socket.to_string_lossy()))
        }
        None if systemd.is_dir() => {
            Check::fine("systemd", "runs this machine; no notify socket: not started as a service")
        }
        None => Check::warning(
            "systemd",
            "does not run this machine, and there is no notify socket",
            "start `diad run` under something that starts it again should it end",
        ),
    }
}

fn cores() -> Check {
    match available_parallelism() {
        Ok(count) => {
            Check::fine("cpu", format!("{count} core{} for this process", if count.get() == 1 { "" } else { "s" }))
        }
        Err(error) => Check::warning("cpu", format!("number of cores is not known: {error}"), "set engine.threads"),
    }
}

/// Takes the text of `/proc/meminfo`.
fn memory(meminfo: &str) -> Check {
    let bytes = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    let (Some(total), Some(available)) = (bytes("MemTotal"), bytes("MemAvailable")) else {
        return Check::warning("memory", "size is not known", "look with `free`");
    };
    let detail = format!("{} of {} available", gib(available), gib(total));
    if available < SCARCE_BYTES {
        Check::warning("memory", detail, "end other programs: a station wants 1 GiB")
    } else {
        Check::fine("memory", detail)
    }
}

pub(super) fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
}

#[cfg(test)]
mod tests;
