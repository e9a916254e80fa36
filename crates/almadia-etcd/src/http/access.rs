//! Which pages of a browser may use the gateway (CORS) and under which names a member may be asked (host whitelist); both
//! about HTTP alone, since no page can make a browser speak gRPC.
//!
//! Guards a browser's user, nobody else: whoever is not a browser says what it likes. Permissions are the edge's business.

use super::text_response;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};

/// Whatever stands there.
const ANY: &str = "*";

const METHODS: HeaderValue = HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static("accept, content-type, authorization");

/// The response to a request under a name that this member is not to be asked under: a page of another site that has made
/// its own name mean this address ("DNS rebinding").
pub(super) fn misdirected(parts: &Parts, hosts: &[String]) -> Option<Response<Body>> {
    if hosts.is_empty() || hosts.iter().any(|host| host == ANY) {
        return None;
    }
    let asked = parts
        .uri
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| parts.headers.get(header::HOST)?.to_str().ok())
        .unwrap_or_default();
    let asked = name_of(asked);
    if hosts.iter().any(|host| name_of(host).eq_ignore_ascii_case(asked)) {
        return None;
    }
    let text = format!(
        "this member is not to be asked as {asked:?}: add that name to --host-whitelist, or use one that is there\n"
    );
    Some(text_response(StatusCode::MISDIRECTED_REQUEST, text))
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    if host.starts_with('[') {
        // An IPv6 address has colons of its own.
        return host.split_once(']').map_or(host, |(address, _)| &address[1..]);
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

/// The origin that an answer may be shown to, as its header says it.
pub(super) fn origin(headers: &HeaderMap, allowed: &[String]) -> Option<HeaderValue> {
    if allowed.iter().any(|origin| origin == ANY) {
        return Some(HeaderValue::from_static(ANY));
    }
    let origin = headers.get(header::ORIGIN)?;
    let given = origin.to_str().ok()?;
    allowed
        .iter()
        .any(|origin| origin == given)
        .then(|| origin.clone())
}

/// Adds to an answer that pages of this origin may see it.
pub(super) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    if origin != ANY {
        // Caches must not show it to pages of others.
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::codegen::http::Request;

    fn is_misdirected(host: &str, hosts: &[&str]) -> bool {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.headers.insert(header::HOST, host.parse().unwrap());
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        misdirected(&parts, &hosts).is_some()
    }

    #[test]
    fn b8_8_names_with_and_without_ports() {
        for (host, hosts) in [
            ("evil.example", &[][..]),
            ("evil.example", &["a", "*"]),
            ("a.example:2379", &["a.example"]),
            ("A.example", &["a.example:80"]),
            ("127.0.0.1:2379", &["127.0.0.1"]),
            ("[::1]:2379", &["::1"]),
            ("[::1]", &["[::1]"]),
        ] {
            assert!(!is_misdirected(host, hosts), "{host} {hosts:?}");
        }
        for (host, hosts) in [
            ("evil.example", &["a.example"][..]),
            ("a.example.evil.example", &["a.example"]),
            ("", &["a.example"]),
            ("[::2]:2379", &["::1"]),
        ] {
            assert!(is_misdirected(host, hosts), "{host} {hosts:?}");
        }
    }

    #[test]
    fn b8_8_origins() {
        let found = |given: Option<&str>, allowed: &[&str]| {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(header::ORIGIN, given.parse().unwrap());
            }
            let allowed: Vec<String> = allowed.iter().map(|&origin| origin.to_owned()).collect();
            origin(&headers, &allowed).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(found(None, &["*"]).as_deref(), Some("*"));
        assert_eq!(
            found(Some("http://a"), &["http://b", "http://a"]).as_deref(),
            Some("http://a")
        );
        assert_eq!(found(Some("http://a:80"), &["http://a"]), None);
        assert_eq!(found(None, &["http://a"]), None);
        assert_eq!(found(Some("http://a"), &[]), None);
    }
}
