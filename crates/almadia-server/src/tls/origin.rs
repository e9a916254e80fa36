//! Whether a peer comes from where its certificate says that it lives, by etcd's rule: a certificate without hosts may come from
//! anywhere; else the address it comes from must be one of its addresses, or belong to one of its names.

use super::certificate::Facts;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// Looking a name or an address up takes this long at most.
const LOOK_UP_MAX: Duration = Duration::from_secs(2);

/// Names of a certificate that are looked up at most; more are not a member's.
const NAMES_MAX: usize = 32;

/// Checks it; the error says what does not match.
pub(super) async fn check(certificate: &Facts, address: IpAddr) -> Result<(), String> {
    let address = address.to_canonical();
    let (names, addresses) = (&certificate.dns_names, &certificate.addresses);
    if names.is_empty() && addresses.is_empty() || addresses.contains(&address) {
        return Ok(());
    }
    for name in names
        .iter()
        .filter(|name| !name.starts_with("*."))
        .take(NAMES_MAX)
    {
        let found = timeout(LOOK_UP_MAX, lookup_host((name.as_str(), 0))).await;
        if let Ok(Ok(mut found)) = found
            && found.any(|found| found.ip().to_canonical() == address)
        {
            return Ok(());
        }
    }
    if let Some(host) = host_of(address).await
        && names.iter().any(|name| is_name_of(name, &host))
    {
        return Ok(());
    }
    let shown: Vec<String> = addresses
        .iter()
        .map(IpAddr::to_string)
        .chain(names.iter().cloned())
        .collect();
    Err(format!(
        "it comes from {address}, which its certificate is not for ({}); --peer-skip-client-san-verification lets it in",
        shown.join(", ")
    ))
}

/// The name that the network has for an address.
async fn host_of(address: IpAddr) -> Option<String> {
    let asked = tokio::task::spawn_blocking(move || dns_lookup::lookup_addr(&address).ok());
    timeout(LOOK_UP_MAX, asked).await.ok()?.ok()?
}

/// As in etcd, a star stands for any number of labels here.
fn is_name_of(name: &str, host: &str) -> bool {
    let (name, host) = (
        name.to_ascii_lowercase(),
        host.trim_end_matches('.').to_ascii_lowercase(),
    );
    match name.strip_prefix('*') {
        Some(end) if end.starts_with('.') => host.len() > end.len() && host.ends_with(end),
        _ => name == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(names: &[&str], addresses: &[&str]) -> Facts {
        Facts {
            subject: String::new(),
            common_name: None,
            issuer: String::new(),
            serial: String::new(),
            not_before: 0,
            not_after: 0,
            dns_names: names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            is_authority: false,
            usages: Vec::new(),
        }
    }

    /// Row B12.4: where a peer's certificate lets it come from. Only names of this machine are looked up.
    #[tokio::test]
    async fn a_peer_comes_from_where_its_certificate_says() {
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        let elsewhere: IpAddr = "192.0.2.9".parse().unwrap();
        assert_eq!(check(&facts(&[], &[]), elsewhere).await, Ok(()));
        assert_eq!(check(&facts(&[], &["127.0.0.1"]), here).await, Ok(()));
        assert_eq!(
            check(&facts(&[], &["127.0.0.1"]), "::ffff:127.0.0.1".parse().unwrap()).await,
            Ok(())
        );
        assert_eq!(check(&facts(&["localhost"], &["10.0.0.1"]), here).await, Ok(()));
        let refused = check(&facts(&[], &["127.0.0.1"]), elsewhere).await.unwrap_err();
        assert!(
            refused.contains("192.0.2.9") && refused.contains("127.0.0.1"),
            "{refused}"
        );
        assert!(check(&facts(&["localhost"], &[]), elsewhere).await.is_err());
    }

    #[test]
    fn stars_stand_for_the_front_of_a_name() {
        assert!(is_name_of("*.etcd.ns.svc", "a-0.etcd.ns.svc"));
        assert!(is_name_of("*.etcd.ns.svc", "A-0.etcd.ns.svc."));
        assert!(!is_name_of("*.etcd.ns.svc", "etcd.ns.svc"));
        assert!(!is_name_of("*.etcd.ns.svc", "xetcd.ns.svc"));
        assert!(is_name_of("a", "A"));
        assert!(!is_name_of("a", "b"));
    }
}
