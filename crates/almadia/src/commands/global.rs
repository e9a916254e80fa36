//! Flags that every client command has, and what they mean.
//!
//! Never connects.

use std::time::Duration;

use super::error::CommandError;

/// Where the cluster is, how long to wait, and how to print.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// Client addresses of the members, tried in turn (http://HOST:PORT or HOST:PORT).
    #[arg(
        long,
        global = true,
        env = "ALMADIA_ENDPOINTS",
        value_name = "URL,…",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:2379",
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
}

/// Reads a list of addresses.
pub fn addresses(endpoints: &[String]) -> Result<Vec<Address>, CommandError> {
    let addresses = endpoints
        .iter()
        .map(|endpoint| endpoint.trim())
        .filter(|endpoint| !endpoint.is_empty())
        .map(address)
        .collect::<Result<Vec<_>, _>>()?;
    if addresses.is_empty() {
        return Err(CommandError::usage(
            "no endpoint given; name one, for example --endpoints 127.0.0.1:2379",
        ));
    }
    Ok(addresses)
}

/// Reads one address.
pub fn address(endpoint: &str) -> Result<Address, CommandError> {
    let bad = |why: &str| {
        CommandError::usage(format!(
            "bad endpoint '{endpoint}': {why}; write it as http://HOST:PORT or HOST:PORT"
        ))
    };
    if endpoint.starts_with("https://") {
        return Err(bad("this client does not speak TLS yet"));
    }
    let authority = endpoint
        .strip_prefix("http://")
        .unwrap_or(endpoint)
        .trim_end_matches('/');
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
        url: format!("http://{authority}"),
        authority: authority.to_owned(),
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
        let good = addresses(&[
            "127.0.0.1:2379".into(),
            " http://almadia-0.almadia:2379/ ".into(),
            String::new(),
        ]);
        let urls: Vec<String> = good
            .expect("valid")
            .into_iter()
            .map(|address| address.url)
            .collect();
        assert_eq!(urls, ["http://127.0.0.1:2379", "http://almadia-0.almadia:2379"]);
        assert_eq!(address("[::1]:2379").expect("valid").authority, "[::1]:2379");
    }

    #[test]
    fn bad_addresses_say_why() {
        for (endpoint, why) in [
            ("localhost", "the port is missing"),
            ("localhost:http", "host or port is not valid"),
            (":2379", "host or port is not valid"),
            ("https://localhost:2379", "TLS"),
            ("ftp://localhost:21", "not an http address"),
        ] {
            let error = address(endpoint).expect_err("bad").to_string();
            assert!(error.contains(why) && error.contains(endpoint), "{error}");
        }
        assert!(addresses(&[" ".into()]).is_err());
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
