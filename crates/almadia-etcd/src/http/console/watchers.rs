//! `/console/watchers`: which ranges this member's watchers follow.

use almadia_store::WatchHub;
use almadia_store::watch::KeyRange;
use serde_json::{Value, json};

/// Ranges shown at most, those with most watchers first.
const RANGES_MAX: usize = 100;

/// Bytes of a key shown at most.
const KEY_BYTES_MAX: usize = 128;

/// The ranges and how many follow each.
pub(super) fn json(watches: &WatchHub) -> String {
    let ranges: Vec<Value> = watches.followed(RANGES_MAX).into_iter().map(row).collect();
    json!({ "live": watches.live(), "ranges": ranges }).to_string()
}

fn row((range, count): (KeyRange, usize)) -> Value {
    let end = match range.range_end() {
        b"" => Value::Null,
        // From the key on, whatever comes.
        b"\0" => Value::String(String::new()),
        end => Value::String(shown(end)),
    };
    json!({ "key": shown(range.key()), "end": end, "watchers": count })
}

/// A key as text; what is none is shown as such.
fn shown(key: &[u8]) -> String {
    let cut = &key[..key.len().min(KEY_BYTES_MAX)];
    String::from_utf8_lossy(cut).into_owned()
}
