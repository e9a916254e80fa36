//! Flags that every client command has, and what they mean.
//!
//! Never connects.

use std::time::Duration;

use super::error::CommandError;
use super::tls::{Security, TlsArguments};

/// Where the cluster is, how long to wait, and how to print.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// Client addresses of the members, tried in turn (http://HOST:PORT, https://HOST:PORT or HOST:PORT).
    #[arg(
        long,
        global = true,
        env = "ALMADIA_ENDPOINTS",
        value_name = "URL,…",
        value_delimiter = ',',
        default_values_t = default_endpoints(),
        help_heading = "Client options"
    )]
    pub endpoints: Vec<String>,
    /// Give up after this time (250ms, 5s, 2m).
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        default_value = "5s",
        value_parser = duration,
        help_heading = "Client options"
    )]
    pub timeout: Duration,
    /// What the output is for: people (text) or programs (json).
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value = "text",
        help_heading = "Client options"
    )]
    pub output: Output,
    /// Certificates.
    #[command(flatten)]
    pub tls: TlsArguments,
}

impl Global {
    /// The addresses, and what to do about TLS where they ask for it.
    pub fn addresses(&self) -> Result<Vec<Address>, CommandError> {
        addresses(&self.endpoints, &Security::new(&self.tls))
    }
}

/// Where a cluster is when nobody says it: where etcdctl would look, else on this machine.
fn default_endpoints() -> Vec<String> {
    let named = std::env::var("ETCDCTL_ENDPOINTS").unwrap_or_default();
    let named: Vec<String> = named
        .split(',')
        .map(str::to_owned)
        .filter(|part| !part.is_empty())
        .collect();
    if named.is_empty() {
        vec!["http://127.0.0.1:2379".to_owned()]
    } else {
        named
    }
}

/// Whom the output is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: one JSON value, or one on each line from commands that print as it comes.
    Json,
}

/// A member's client address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// With scheme: `http://host:port`.
    pub url: String,
    /// `host:port`.
    pub authority: String,
    /// Whether the scheme is `https`.
    pub is_tls: bool,
    /// What to do about it.
    pub security: Security,
}

impl Address {
    /// The name or address a certificate must be for.
    pub fn host(&self) -> &str {
        let host = self
            .authority
            .rsplit_once(':')
            .map_or(self.authority.as_str(), |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// Reads a list of addresses.
pub fn addresses(endpoints: &[String], security: &Security) -> Result<Vec<Address>, CommandError> {
    let addresses = endpoints
        .iter()
        .map(|endpoint| endpoint.trim())
        .filter(|endpoint| !endpoint.is_empty())
        .map(|endpoint| address(endpoint, security))
        .collect::<Result<Vec<_>, _>>()?;
    if addresses.is_empty() {
        return Err(CommandError::usage(
            "no endpoint given; name one, for example --endpoints 127.0.0.1:2379",
        ));
    }
    Ok(addresses)
}

/// Reads one address.
pub fn address(endpoint: &str, security: &Security) -> Result<Address, CommandError> {
    let bad = |why: &str| {
        CommandError::usage(format!(
            "bad endpoint '{endpoint}': {why}; write it as http://HOST:PORT, https://HOST:PORT or HOST:PORT"
        ))
    };
    let (is_tls, authority) = match (
        endpoint.strip_prefix("https://"),
        endpoint.strip_prefix("http://"),
    ) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => (security.is_default(), endpoint),
    };
    let authority = authority.trim_end_matches('/');
    if authority.contains("://") || authority.contains('/') {
        return Err(bad("it is not an http address"));
    }
    let Some((host, port)) = authority.rsplit_once(':') else {
        return Err(bad("the port is missing"));
    };
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(bad("host or port is not valid"));
    }
    Ok(Address {
        url: format!("{}://{authority}", if is_tls { "https" } else { "http" }),
        authority: authority.to_owned(),
        is_tls,
        security: security.clone(),
    })
}

/// Reads a time: a number with `ms`, `s`, `m` or `h`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_seconds = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write a time like 250ms, 5s or 2m".to_owned()),
    };
    let number: f64 = digits
        .parse()
        .map_err(|_| "write a time like 250ms, 5s or 2m".to_owned())?;
    let seconds = number * unit_seconds;
    if !(0.001..=1e9).contains(&seconds) {
        return Err("a time is at least 1ms".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_and_without_scheme() {
        let good = addresses(
            &[
                "127.0.0.1:2379".into(),
                " http://almadia-0.almadia:2379/ ".into(),
                String::new(),
            ],
            &Security::default(),
        );
        let urls: Vec<String> = good
            .expect("valid")
            .into_iter()
            .map(|address| address.url)
            .collect();
        assert_eq!(urls, ["http://127.0.0.1:2379", "http://almadia-0.almadia:2379"]);
        let local = address("https://[::1]:2379", &Security::default()).expect("valid");
        assert_eq!(
            (local.authority.as_str(), local.host(), local.is_tls),
            ("[::1]:2379", "::1", true)
        );
    }

    #[test]
    fn bad_addresses_say_why() {
        for (endpoint, why) in [
            ("localhost", "the port is missing"),
            ("localhost:http", "host or port is not valid"),
            (":2379", "host or port is not valid"),
            ("https://localhost", "the port is missing"),
            ("ftp://localhost:21", "not an http address"),
        ] {
            let error = address(endpoint, &Security::default())
                .expect_err("bad")
                .to_string();
            assert!(error.contains(why) && error.contains(endpoint), "{error}");
        }
        assert!(addresses(&[" ".into()], &Security::default()).is_err());
    }

    #[test]
    fn durations() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        for bad in ["", "s", "5x", "-1s", "0s", "1e400s", "NaN"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
