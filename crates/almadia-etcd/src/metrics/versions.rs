//! Which versions of the API clients speak (row B9.3). They say so themselves, in a header: the list has an end, and what
//! comes after it counts as "other".

use super::registered;
use crate::error::Fault;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use std::sync::OnceLock;
use tonic::codegen::http::HeaderMap;

/// etcd's name of the header.
const HEADER: &str = "client-api-version";

/// Versions told apart, and how long their text may be: what clients say must not grow the list for ever.
const VERSIONS_MAX: usize = 32;
const VERSION_BYTES_MAX: usize = 32;

/// Calls by the version of their client.
pub(super) struct Versions {
    family: IntCounterVec,
    unknown: Counters,
    other: Counters,
    /// In the order in which they were first met.
    met: [OnceLock<(String, Counters)>; VERSIONS_MAX],
}

/// Of one version: calls with one answer, and streams.
struct Counters {
    unary: IntCounter,
    stream: IntCounter,
}

impl Versions {
    pub(super) fn register(registry: &Registry) -> Self {
        let options = Opts::new(
            "etcd_server_client_requests_total",
            "The total number of client requests per client version.",
        );
        let family = registered(
            registry,
            IntCounterVec::new(options, &["type", "client_api_version"]),
        );
        Self {
            unknown: Counters::of(&family, "unknown"),
            other: Counters::of(&family, "other"),
            met: [const { OnceLock::new() }; VERSIONS_MAX],
            family,
        }
    }

    /// Counts a call.
    ///
    /// # Errors
    /// A version that is no text.
    pub(super) fn note(&self, headers: &HeaderMap, is_stream: bool) -> Result<(), Fault> {
        let counters = match headers.get(HEADER) {
            None => &self.unknown,
            Some(version) => {
                let version =
                    std::str::from_utf8(version.as_bytes()).map_err(|_| Fault::InvalidApiVersion)?;
                self.counters(version)
            }
        };
        if is_stream {
            counters.stream.inc();
        } else {
            counters.unary.inc();
        }
        Ok(())
    }

    fn counters(&self, version: &str) -> &Counters {
        if version.is_empty() || version.len() > VERSION_BYTES_MAX {
            return &self.other;
        }
        for slot in &self.met {
            let (text, counters) =
                slot.get_or_init(|| (version.to_owned(), Counters::of(&self.family, version)));
            if text == version {
                return counters;
            }
        }
        &self.other
    }
}

impl Counters {
    fn of(family: &IntCounterVec, version: &str) -> Self {
        Self {
            unary: family.with_label_values(&["unary", version]),
            stream: family.with_label_values(&["stream", version]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::codegen::http::HeaderValue;

    fn headers(version: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(version).unwrap());
        headers
    }

    #[test]
    fn b9_3_versions_are_counted_up_to_a_bound_and_no_text_is_refused() {
        let versions = Versions::register(&Registry::new());
        for _ in 0..2 {
            versions.note(&headers(b"3.5.30"), false).unwrap();
        }
        versions.note(&headers(b"3.5.30"), true).unwrap();
        versions.note(&HeaderMap::new(), true).unwrap();
        assert_eq!(
            versions.note(&headers(b"\xff"), false),
            Err(Fault::InvalidApiVersion)
        );
        let met = versions.counters("3.5.30");
        assert_eq!(
            (met.unary.get(), met.stream.get(), versions.unknown.stream.get()),
            (2, 1, 1)
        );
        for number in 0..1000 {
            versions
                .note(&headers(format!("v{number}").as_bytes()), false)
                .unwrap();
        }
        versions.note(&headers(&[b'x'; 1000]), false).unwrap();
        let told_apart = VERSIONS_MAX as u64 - 1;
        assert_eq!(versions.other.unary.get(), 1000 - told_apart + 1);
    }
}
