//! Addresses as etcd's settings write them: `http://host:port`, several with commas. No paths, no names of users.

use std::fmt;

/// One address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// A name, an IPv4 address, or an IPv6 address without its brackets.
    pub host: String,
    /// 0 asks for any free port where it is listened on.
    pub port: u16,
}

impl Url {
    /// True for "all addresses of this machine", which tells nobody where to reach it.
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "0.0.0.0" | "::")
    }

    /// Host and port as `bind` and `connect` take them.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}", self.authority())
    }
}

/// One address from its text.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse(text: &str) -> Result<Url, String> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| format!("`{text}` is not of the form http://HOST:PORT"))?;
    match scheme {
        "http" => {}
        "https" => return Err(format!("`{text}`: TLS is not offered yet, use http://")),
        _ => return Err(format!("`{text}`: the scheme must be http")),
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@', ' ']) {
        return Err(format!("`{text}` must have host and port only"));
    }
    let (host, port) =
        split_port(authority).ok_or_else(|| format!("`{text}` must have a host and a port"))?;
    let port = port
        .parse()
        .map_err(|_| format!("`{text}`: the port must be a number from 0 to 65535"))?;
    Ok(Url {
        host: host.to_owned(),
        port,
    })
}

/// Addresses separated by commas.
///
/// # Errors
/// Says what is wrong with the first bad one.
pub fn parse_list(text: &str) -> Result<Vec<Url>, String> {
    text.split(',').map(|one| parse(one.trim())).collect()
}

fn split_port(authority: &str) -> Option<(&str, &str)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once("]:")?;
        return host.parse::<std::net::Ipv6Addr>().is_ok().then_some((host, port));
    }
    let (host, port) = authority.rsplit_once(':')?;
    (!host.is_empty() && !host.contains(':')).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, u16)>) {
        let found = parse(text);
        assert_eq!(
            found.as_ref().ok().map(|url| (url.host.as_str(), url.port)),
            expected,
            "{text}"
        );
        if let Ok(url) = found {
            assert_eq!(parse(&url.to_string()), Ok(url), "written and read again");
        }
    }

    #[test]
    fn addresses_are_read() {
        check("http://127.0.0.1:2379", Some(("127.0.0.1", 2379)));
        check(
            "http://almadia-0.almadia:2380/",
            Some(("almadia-0.almadia", 2380)),
        );
        check("http://[::1]:2379", Some(("::1", 2379)));
        check("http://localhost:0", Some(("localhost", 0)));
    }

    #[test]
    fn others_are_refused() {
        for bad in [
            "",
            "localhost:2379",
            "https://a:1",
            "unix://a:1",
            "http://a",
            "http://:1",
            "http://a:x",
            "http://a:70000",
            "http://a:1/path",
            "http://u@a:1",
            "http://::1:2379",
            "http://[x]:1",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn lists_have_commas() {
        assert_eq!(parse_list("http://a:1, http://b:2").map(|urls| urls.len()), Ok(2));
        assert!(parse_list("http://a:1,").is_err());
    }
}
