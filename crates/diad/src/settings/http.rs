//! The `http` section.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::named_file;
use crate::yaml::Item;

/// The web page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// File with what a client must show; always set where `listen` is not a loopback address.
    pub token_file: Option<PathBuf>,
}

pub(super) fn section(item: Item<'_>) -> Option<Http> {
    let keys = item.mapping()?.only(&["listen", "token_file"]);
    let listen_item = keys.get("listen");
    let listen = listen_item.parsed(str::parse::<SocketAddr>, Some("address:port, such as 127.0.0.1:8080"));
    let token_file = keys.get("token_file").nullable(|item| named_file::secret(&item));
    let (listen, token_file) = (listen?, token_file?);
    if !listen.ip().is_loopback() && token_file.is_none() {
        return listen_item.fault("is reachable from other machines", Some("a loopback address, or set token_file"));
    }
    Some(Http { listen, token_file })
}
