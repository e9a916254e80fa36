//! The form of peer URLs, by etcd's rule: `http` or `https`, a host and a port, and no path; kept in order.
//!
//! Sockets in files (`unix://`), which etcd takes here, are refused: members do not talk over them.

use crate::error::Fault;

/// Bytes of one URL at most; a DNS name has 253.
const URL_BYTES_MAX: usize = 1024;

/// URLs of one member at most.
const URLS_MAX: usize = 32;

/// The URLs as they are kept: without blanks around them, in order, in the words that were given.
///
/// # Errors
/// [`Fault::BadMemberUrls`].
pub(super) fn check(urls: &[String]) -> Result<Vec<String>, Fault> {
    if urls.is_empty() || urls.len() > URLS_MAX {
        return Err(Fault::BadMemberUrls);
    }
    let mut checked = Vec::with_capacity(urls.len());
    for url in urls {
        let url = url.trim();
        if !is_peer_url(url) {
            return Err(Fault::BadMemberUrls);
        }
        checked.push(url.to_owned());
    }
    checked.sort();
    checked.dedup();
    Ok(checked)
}

fn is_peer_url(url: &str) -> bool {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let Some((host, port)) = rest.and_then(|rest| rest.rsplit_once(':')) else {
        return false;
    };
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inside) => inside,
        None if host.contains([':', '[', ']']) => return false,
        None => host,
    };
    let host_is_one = !host.is_empty()
        && !host.contains(|c: char| "/?#@".contains(c) || c.is_whitespace() || c.is_control());
    let port_is_one =
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    url.len() <= URL_BYTES_MAX && host_is_one && port_is_one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b4_1_peer_urls_are_checked() {
        for good in [
            "http://a:1",
            "https://a.b.svc:2380",
            "http://[::1]:65535",
            " http://10.0.0.1:80 ",
        ] {
            let checked = check(&[good.to_owned()]);
            assert_eq!(checked, Ok(vec![good.trim().to_owned()]), "{good}");
        }
        let bad = [
            "",
            "foo",
            "a:1",
            "unix://a:1",
            "http://a",
            "http://a:",
            "http://:1",
            "http://a:1/",
            "http://a:1/p",
            "http://a:65536",
            "http://a:+1",
            "http://u@a:1",
            "http://a b:1",
            "http://::1:1",
            "ftp://a:1",
        ];
        for bad in bad {
            assert_eq!(check(&[bad.to_owned()]), Err(Fault::BadMemberUrls), "{bad}");
        }
        assert_eq!(check(&[]), Err(Fault::BadMemberUrls));
        assert!(check(&vec!["http://a:1".to_owned(); URLS_MAX + 1]).is_err());
        assert!(check(&[format!("http://{}:1", "a".repeat(URL_BYTES_MAX))]).is_err());
    }

    #[test]
    fn b4_1_several_are_kept_in_order() {
        let given = ["http://a:9".to_owned(), "http://a:1".to_owned()];
        assert_eq!(
            check(&given),
            Ok(vec!["http://a:1".to_owned(), "http://a:9".to_owned()])
        );
    }
}
