//! The `mqtt` section.

use diad_publish::settings::{BrokerUrl, LinkSettings, PayloadKind};
use diad_publish::topic::TopicRoot;

use super::named_file;
use crate::yaml::Item;

/// The broker, and the first levels of every topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mqtt {
    /// Where the broker is and how to be let in. The files it names could be read when the settings were.
    pub link: LinkSettings,
    /// First levels of every topic.
    pub root: TopicRoot,
}

pub(super) fn section(item: Item<'_>) -> Option<Mqtt> {
    let keys = item.mapping()?.only(&[
        "url",
        "root",
        "payload",
        "qos",
        "username",
        "password_file",
        "ca_file",
        "cert_file",
        "key_file",
    ]);
    let url = keys.get("url").parsed(BrokerUrl::parse, None);
    let root = keys.get("root").parsed(TopicRoot::try_new, None);
    let payload = keys.get("payload").choice(&[("json", PayloadKind::Json), ("sparkplug_b", PayloadKind::SparkplugB)]);
    let qos_item = keys.get("qos");
    let qos = qos_item.whole(0..=2).and_then(|qos| match qos {
        1 => Some(()),
        _ => qos_item.fault(&format!("{qos} does not suit verdicts"), Some("1")),
    });
    let username = keys.get("username").nullable(|item| item.text().map(str::to_owned));
    let password_file = keys.get("password_file").nullable(|item| named_file::secret(&item));
    let ca_file = keys.get("ca_file").nullable(|item| named_file::certificates(&item));
    let cert_file = keys.get("cert_file").nullable(|item| named_file::there(&item));
    let key_file = keys.get("key_file").nullable(|item| named_file::there(&item));
    let link = LinkSettings::try_new(url?, username?, password_file?, ca_file?);
    let (cert_file, key_file) = (cert_file?, key_file?);
    let link = match link.and_then(|link| link.with_client(cert_file, key_file)) {
        Ok(link) => Some(link),
        Err(error) => keys.get(error.key()).fault(&error.to_string(), None),
    };
    if let Some(files) = link.as_ref().and_then(LinkSettings::client) {
        named_file::client(&keys.get("cert_file"), &keys.get("key_file"), files);
    }
    qos?;
    Some(Mqtt { link: link?.with_payload(payload?), root: root? })
}
