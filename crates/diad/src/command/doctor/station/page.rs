//! The address of the page.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::super::Check;
use super::{Station, who};
use crate::exit::Exit;

/// How long the running station's page may take to accept a connection.
const PAGE_TRIAL_TIMEOUT: Duration = Duration::from_secs(2);

const NAME: &str = "page";

pub(super) fn check(station: &Station<'_>) -> Check {
    let listen = station.settings.http().listen;
    match station.running {
        // Its port is not taken, not for a moment: it may be about to try again.
        Some(pid) => judge_running(listen, pid, TcpStream::connect_timeout(&listen, PAGE_TRIAL_TIMEOUT).is_ok()),
        None => judge_free(listen, TcpListener::bind(listen).map(drop)),
    }
}

fn judge_running(listen: SocketAddr, pid: u32, answers: bool) -> Check {
    if answers {
        return Check::fine(NAME, format!("{listen} is in use by {}", who(pid)));
    }
    let remedy =
        "see the state of the station and its log: another program may hold the port, or its settings were another";
    Check::warning(NAME, format!("{} does not accept connections at {listen}", who(pid)), remedy)
}

fn judge_free(listen: SocketAddr, bound: io::Result<()>) -> Check {
    let error = match bound {
        Ok(()) => return Check::fine(NAME, format!("{listen} is free")),
        Err(error) => error,
    };
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            format!(
                "find the program with: sudo ss -ltnp 'sport = :{}'; end it, or set another http.listen",
                listen.port()
            )
        }
        ErrorKind::AddrNotAvailable => "set http.listen to an address of this machine: ip address".to_owned(),
        ErrorKind::PermissionDenied => "set http.listen to a port above 1023".to_owned(),
        _ => "set another http.listen".to_owned(),
    };
    Check::failed(NAME, Exit::Unavailable, format!("{listen} cannot be listened on: {error}"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::CheckStatus;

    fn address() -> SocketAddr {
        "127.0.0.1:8080".parse().unwrap()
    }

    #[test]
    fn port_of_a_running_station_is_well_and_named_with_its_process() {
        let check = judge_running(address(), 710, true);
        assert_eq!(check.health, CheckStatus::Fine);
        assert!(check.detail.contains("in use by a running station (pid 710)"), "{}", check.detail);
        assert_eq!(judge_running(address(), 710, false).health, CheckStatus::Warning);
    }

    #[test]
    fn port_of_another_program_is_a_failure_that_says_how_to_find_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = taken.local_addr().unwrap();
        let check = judge_free(listen, TcpListener::bind(listen).map(drop));
        assert_eq!(check.failure(), Some(Exit::Unavailable));
        assert!(check.remedy.unwrap().contains(&format!(":{}", listen.port())));
        assert_eq!(judge_free(address(), Ok(())).health, CheckStatus::Fine);
        assert_eq!(judge_free(address(), Err(ErrorKind::AddrNotAvailable.into())).failure(), Some(Exit::Unavailable));
    }
}
