//! Who may ask what: the token, and requests that a browser was tricked into.

use std::net::IpAddr;
use std::path::Path;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::answer::Refusal;
use crate::settings::PublicUrl;
use crate::yaml::{Fault, text};

#[cfg(test)]
mod tests;

/// The header in which a browser names the kind of page that a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Decides whether a request is answered.
///
/// With a token, whoever shows it may ask: as a bearer token, or as the password of HTTP basic authentication, which a
/// browser asks a person for; any user name will do. Without one, only this machine can reach the listener, and the name
/// under which the page was asked for must be a name of this machine: a page of somebody else's that has its own name
/// point at us (DNS rebinding) gets nothing. What changes something must come from our own page, or from no page at all: from
/// the name that the request was sent to, or from the one that people use in front of a reverse proxy.
#[derive(Debug, Clone)]
pub struct Access {
    /// SHA-256 of the token: comparing it tells nothing by its time.
    token: Option<[u8; 32]>,
    /// Where people reach the page in front of a proxy.
    public_url: Option<PublicUrl>,
}

/// Bytes of a client's header that an error repeats.
const MAX_REPEATED_CHARS: usize = 100;

impl Access {
    /// Reads the token, if there is a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(token_file: Option<&Path>) -> Result<Self, Fault> {
        let token = token_file.map(text::load).transpose()?;
        let token = token.map(|token| digest(token.trim_end_matches(['\r', '\n'])));
        Ok(Self { token, public_url: None })
    }

    /// The same, behind a proxy under this address.
    #[must_use]
    pub fn known_as(self, public_url: Option<PublicUrl>) -> Self {
        Self { public_url, ..self }
    }

    /// Whether this request is answered.
    ///
    /// # Errors
    /// [`Refusal`], with what to do.
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let host = single(headers, &header::HOST).flatten().unwrap_or_default();
        match self.token {
            Some(token) if text(header::AUTHORIZATION).and_then(shown).is_none_or(|shown| shown != token) => {
                return Err(Refusal::new(
                    StatusCode::UNAUTHORIZED,
                    "show the token: it is in http.token_file of the station",
                ));
            }
            None if !is_of_this_machine(host) => {
                return Err(Refusal::new(
                    StatusCode::FORBIDDEN,
                    format!(
                        "{:?} is no name of this machine; ask for 127.0.0.1 or localhost: without a token \
                         (http.token_file) the page is for this machine alone",
                        beginning(host)
                    ),
                ));
            }
            _ => {}
        }
        if method == Method::POST {
            self.check_page(headers, host).map_err(|words| Refusal::new(StatusCode::FORBIDDEN, words))?;
            let kind = text(header::CONTENT_TYPE).unwrap_or_default();
            if kind.split(';').next().is_none_or(|kind| !kind.trim().eq_ignore_ascii_case("application/json")) {
                return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
            }
        }
        Ok(())
    }

    /// Whether a request that changes something comes from the page that this station shows under `host` or its public
    /// address, or from a program: then there is no such header. What cannot be read counts as another page.
    fn check_page(&self, headers: &HeaderMap, host: &str) -> Result<(), String> {
        let own = "this must come from the station's own page";
        match single(headers, &FETCH_SITE) {
            None => return Err(format!("{own}; the header Sec-Fetch-Site cannot be read")),
            Some(Some(site)) if !matches!(site, "same-origin" | "none") => {
                return Err(format!("{own}; the browser calls it {:?} (header Sec-Fetch-Site)", beginning(site)));
            }
            Some(_) => {}
        }
        let Some(origin) = single(headers, &header::ORIGIN) else {
            return Err(format!("{own}; the header Origin cannot be read, or is there more than once"));
        };
        if origin.is_none_or(|origin| is_origin_of(origin, host) || self.is_public(origin)) {
            return Ok(());
        }
        Err(format!(
            "{own}; the page is from {:?} (header Origin), the request was sent to {:?} (header Host): behind a proxy have \
             it pass name and port on (nginx: proxy_set_header Host $http_host), or set http.public_url",
            beginning(origin.unwrap_or_default()),
            beginning(host)
        ))
    }

    /// Whether `origin` is the page under its public address, scheme included.
    fn is_public(&self, origin: &str) -> bool {
        let Some(url) = self.public_url.as_ref().map(PublicUrl::uri) else { return false };
        let same_scheme = url.scheme_str() == origin.split_once("://").map(|(scheme, _)| scheme);
        same_scheme && url.authority().is_some_and(|authority| is_origin_of(origin, authority.as_str()))
    }
}

/// What an error repeats of a client's header.
fn beginning(text: &str) -> String {
    text.chars().take(MAX_REPEATED_CHARS).collect()
}

/// The value of a header that may be there once: the outer `None` if it is there several times, or is not ASCII.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => value.to_str().ok().map(Some),
        (Some(_), Some(_)) => None,
    }
}

/// Whether `origin` is a page at `host`: name and port are the same, and a port that is not written is the one of the scheme.
/// The scheme is `http`, or `https` where a proxy ends TLS for the station: on one port there is only one of the two.
fn is_origin_of(origin: &str, host: &str) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    let default_port = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let Some(authority) = uri.authority() else { return false };
    // Nothing stands before the name, and nothing behind the port.
    if origin.split_once("://").is_none_or(|(_, rest)| rest != authority.as_str()) {
        return false;
    }
    let Ok(ours) = host.parse::<Authority>() else { return false };
    let (theirs, ours) = (name_and_port(authority, default_port), name_and_port(&ours, default_port));
    theirs.zip(ours).is_some_and(|(theirs, ours)| theirs.1 == ours.1 && theirs.0.eq_ignore_ascii_case(ours.0))
}

/// Name and port; none if the port is no port, or if a user is named.
fn name_and_port(authority: &Authority, default_port: u16) -> Option<(&str, u16)> {
    let name = authority.host();
    let port = match authority.as_str().strip_prefix(name)? {
        "" => default_port,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    Some((name, port))
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The digest of the token in an `Authorization` header.
fn shown(header: &str) -> Option<[u8; 32]> {
    let (scheme, value) = header.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(digest(value));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (_, password) = plain.split_once(':')?;
    Some(digest(password))
}

fn is_of_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
