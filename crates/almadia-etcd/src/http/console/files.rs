//! The console's files, laid into the binary as they stand in `console/`. They are packed once, when the first of them is asked
//! for, and told apart by a hash of what is in them.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::sync::LazyLock;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// Bytes of a file's hash that stand in its tag.
const TAG_BYTES: usize = 16;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal: $kind:ident,)*) => {
        [$(($path, $kind, include_bytes!(concat!("../../../console/", $path)).as_slice())),*]
    };
}

static LAID_IN: [(&str, &str, &[u8]); 22] = files! {
    "index.html": HTML,
    "icon.svg": SVG,
    "style/base.css": CSS,
    "style/parts.css": CSS,
    "style/picture.css": CSS,
    "main.js": SCRIPT,
    "dom.js": SCRIPT,
    "api.js": SCRIPT,
    "live.js": SCRIPT,
    "state.js": SCRIPT,
    "words.js": SCRIPT,
    "help.js": SCRIPT,
    "members.js": SCRIPT,
    "log.js": SCRIPT,
    "timeline.js": SCRIPT,
    "charts.js": SCRIPT,
    "keys.js": SCRIPT,
    "requests.js": SCRIPT,
    "slow.js": SCRIPT,
    "vendor/uplot.js": SCRIPT,
    "vendor/uplot.css": CSS,
    "vendor/uplot.LICENSE.txt": TEXT,
};

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| LAID_IN.iter().map(File::of).collect());

/// One file.
pub(in crate::http) struct File {
    path: &'static str,
    kind: HeaderValue,
    tag: HeaderValue,
    plain: Bytes,
    packed: Bytes,
}

/// The file of this name.
pub(super) fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

impl File {
    fn of(laid_in: &(&'static str, &'static str, &'static [u8])) -> Self {
        let &(path, kind, plain) = laid_in;
        let hash = digest(&SHA256, plain);
        let hex: String = hash.as_ref()[..TAG_BYTES]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        let written = packed.write_all(plain).and_then(|()| packed.finish());
        Self {
            path,
            kind: HeaderValue::from_static(kind),
            tag: HeaderValue::try_from(format!("\"{hex}\""))
                .expect("hexadecimal digits can stand in a header"),
            plain: Bytes::from_static(plain),
            packed: written.expect("writing into memory does not fail").into(),
        }
    }

    /// The file, packed for those who can unpack it; nothing for those who have it already.
    pub(super) fn respond(&self, asked: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.tag.clone());
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        // Kept, but never used without asking: another release may answer at the same address.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if self.is_known(asked) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(header::CONTENT_TYPE, self.kind.clone());
        let bytes = if takes_gzip(asked) {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            &self.packed
        } else {
            &self.plain
        };
        *response.body_mut() = Body::new(super::super::Whole::new(bytes.clone()));
        response
    }

    /// Whether the asker has this very file (RFC 9110, section 13.1.2).
    fn is_known(&self, asked: &HeaderMap) -> bool {
        let known = asked
            .get(header::IF_NONE_MATCH)
            .and_then(|tags| tags.to_str().ok());
        known.is_some_and(|tags| {
            tags.split(',')
                .map(|tag| tag.trim().trim_start_matches("W/"))
                .any(|tag| tag == "*" || tag.as_bytes() == self.tag.as_bytes())
        })
    }
}

/// Whether gzip is among what the asker takes, and not with a weight of nothing.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let taken = asked
        .get(header::ACCEPT_ENCODING)
        .and_then(|taken| taken.to_str().ok());
    taken.unwrap_or_default().split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts
            .filter_map(|part| part.strip_prefix("q="))
            .any(|weight| weight.parse() == Ok(0.0));
        is_gzip && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    /// What is vendored is what its authors have published: uPlot 1.6.32 from the npm registry, `dist/uPlot.esm.js`,
    /// `dist/uPlot.min.css` and `LICENSE`. Whoever takes a newer one changes the hashes and the version in `vendor/README.md`.
    #[test]
    fn the_chart_library_is_the_published_one() {
        for (path, expected) in [
            ("vendor/uplot.js", "XdmzKBqmS0YbQtmUX2rbJknTRlArEigamuDUZZmoDro="),
            ("vendor/uplot.css", "32MMao1vjur/JktQ9zzlsRT2Rv/ZoLt08EmwoAE1+gQ="),
            (
                "vendor/uplot.LICENSE.txt",
                "j5iSKWmbT+LxoEMtDp7cM4qKkR4lDi0bAezXcKX1sb0=",
            ),
        ] {
            let file = find(path).expect("it is laid in");
            let hash = STANDARD.encode(digest(&SHA256, &file.plain).as_ref());
            assert_eq!(hash, expected, "{path}");
        }
    }

    /// The page needs no server but this one, and no markup or style that its policy would forbid.
    #[test]
    fn nothing_is_loaded_from_elsewhere_and_nothing_is_inline() {
        for file in FILES.iter().filter(|file| !file.path.starts_with("vendor/")) {
            let text = std::str::from_utf8(&file.plain).expect("files are text");
            let without_namespace = text.replace("http://www.w3.org/2000/svg", "");
            for wrong in [
                "http://",
                "https://",
                "innerHTML",
                "insertAdjacentHTML",
                "eval(",
                " style=\"",
                "onclick=",
            ] {
                assert!(!without_namespace.contains(wrong), "{} has {wrong}", file.path);
            }
        }
    }

    #[test]
    fn packed_only_for_those_who_can_unpack() {
        let takes = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, text.parse().expect("a header"));
            takes_gzip(&headers)
        };
        for yes in ["gzip", "deflate, GZIP", "br;q=1.0, gzip;q=0.5"] {
            assert!(takes(yes), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "gzip; q=0.0", "xgzip"] {
            assert!(!takes(no), "{no}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
