//! `/console/history`: one key's versions and deletions, newest first, a page at a time. For whoever may read the key; a deleted
//! key has its history too, as far as compaction has left it, which a range cannot say.

use crate::auth::base64;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Fault;
use crate::service::Shared;
use almadia_command::Revision;
use almadia_store::{Need, Record, View};
use serde_json::{Value, json};
use tonic::Status;

/// Changes in one page at most, and those of the last one's revision.
const PAGE_MAX: usize = 10;

/// Bytes of a value shown at most.
const VALUE_BYTES_MAX: usize = 4096;

/// Which key, and below which revision.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    key: Vec<u8>,
    below: Option<Revision>,
}

impl Asked {
    /// Reads `key`, in base64 for addresses, and `below`, a revision.
    pub(super) fn of(query: &str) -> Result<Self, Status> {
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(given, _)| *given == name).map(|(_, value)| value)
        };
        let key = parameter("key")
            .and_then(base64::decode_url)
            .filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| Status::invalid_argument("key: a key in base64url is needed"))?;
        let below = parameter("below")
            .map(|below| below.parse().map(Revision))
            .transpose();
        let below = below.map_err(|_| Status::invalid_argument("below: a revision is a number"))?;
        Ok(Self { key, below })
    }
}

/// A page of the key's history.
pub(super) async fn json<B: Backend>(
    shared: &Shared<B>,
    caller: &Caller,
    asked: &Asked,
) -> Result<String, Status> {
    let (view, actor) = shared.readable_as(caller, false).await?;
    let need = Need::Read {
        key: &asked.key,
        range_end: b"",
    };
    view.permits(actor.as_ref(), need).map_err(Fault::from)?;
    Ok(page(&view, asked).to_string())
}

fn page(view: &View, asked: &Asked) -> Value {
    let mut versions = view.versions(&asked.key, asked.below).peekable();
    let mut changes = Vec::new();
    let mut last = None;
    while let Some(record) = versions.peek() {
        let revision = record.mod_revision();
        // What one transaction did stays together: the next page begins below a revision.
        if changes.len() >= PAGE_MAX && last != Some(revision) {
            break;
        }
        last = Some(revision);
        changes.push(change(record));
        versions.next();
    }
    json!({
        "compacted": view.compacted().get(),
        "changes": changes,
        "more": versions.peek().is_some(),
    })
}

fn change(record: &Record) -> Value {
    let revision = record.mod_revision().get();
    if record.is_tombstone() {
        return json!({ "revision": revision, "deleted": true });
    }
    let value = record.value();
    let lease = record.lease().0;
    json!({
        "revision": revision,
        "deleted": false,
        "version": record.version(),
        "lease": (lease != 0).then(|| format!("{lease:x}")),
        "bytes": value.len(),
        "value": base64::encode_url(shown(value)),
    })
}

/// The value's beginning; a text is not cut within a letter.
fn shown(value: &[u8]) -> &[u8] {
    let goes_on = |at: usize| value.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let within = (0..4).find(|back| !goes_on(VALUE_BYTES_MAX - back)).unwrap_or(0);
    &value[..value.len().min(VALUE_BYTES_MAX - within)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_between_letters() {
        assert_eq!(shown(b"short"), b"short");
        assert_eq!(shown(&[b'x'; VALUE_BYTES_MAX + 1]).len(), VALUE_BYTES_MAX);
        for before in 0..4 {
            let text = format!(
                "{}{}",
                "x".repeat(before),
                "\u{1f6f6}".repeat(VALUE_BYTES_MAX / 4 + 1)
            );
            let cut = std::str::from_utf8(shown(text.as_bytes())).expect("whole letters");
            assert!(cut.len() > VALUE_BYTES_MAX - 4 && text.starts_with(cut));
        }
        // What is no text is cut anywhere.
        assert_eq!(shown(&[0x80; VALUE_BYTES_MAX + 9]).len(), VALUE_BYTES_MAX);
    }

    #[test]
    fn which_key_and_below_what() {
        let asked = |key: &[u8], below: Option<i64>| Asked {
            key: key.to_vec(),
            below: below.map(Revision),
        };
        let of = |query| Asked::of(query).expect("it can be read");
        assert_eq!(of("key=Zm9v"), asked(b"foo", None));
        assert_eq!(of("below=7&key=__8"), asked(b"\xff\xff", Some(7)));
        for wrong in ["", "key=", "key=*", "key=Zm9v&below=x", "below=3"] {
            assert!(Asked::of(wrong).is_err(), "{wrong}");
        }
    }
}
