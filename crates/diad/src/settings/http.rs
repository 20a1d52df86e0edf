//! The `http` section.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::Uri;

use super::named_file;
use crate::yaml::Item;

/// The web page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// File with what a client must show; always set where `listen` is not a loopback address.
    pub token_file: Option<PathBuf>,
    /// Where people reach the page, if a reverse proxy stands in front of it.
    pub public_url: Option<PublicUrl>,
}

/// The address of the page in front of a reverse proxy: scheme, name, port and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(Uri);

impl PublicUrl {
    /// Reads `http://` or `https://` with a name, and perhaps a port and a path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "is no URL")?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("is neither http:// nor https://");
        }
        if uri.authority().is_none_or(|authority| authority.host().is_empty() || authority.as_str().contains('@')) {
            return Err("names no host, or a user");
        }
        if uri.query().is_some() || text.contains('#') {
            return Err("goes on behind its path");
        }
        Ok(Self(uri))
    }

    /// The address as it was written.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.0
    }
}

pub(super) fn section(item: Item<'_>) -> Option<Http> {
    let keys = item.mapping()?.only(&["listen", "token_file", "public_url"]);
    let listen_item = keys.get("listen");
    let listen = listen_item.parsed(str::parse::<SocketAddr>, Some("address:port, such as 127.0.0.1:8080"));
    let token_file = keys.get("token_file").nullable(|item| named_file::secret(&item));
    let example = "such as https://plant.example/diad/, without user, query and #";
    let public_url = keys.get("public_url").nullable(|item| item.parsed(PublicUrl::parse, Some(example)));
    let (listen, token_file, public_url) = (listen?, token_file?, public_url?);
    if !listen.ip().is_loopback() && token_file.is_none() {
        return listen_item.fault("is reachable from other machines", Some("a loopback address, or set token_file"));
    }
    Some(Http { listen, token_file, public_url })
}
