//! What a request for a watch means: etcd's rules on its fields, in etcd's order.

use crate::error::Fault;
use crate::proto::etcdserverpb as pb;
use almadia_command::Revision;
use almadia_store::watch::{KeyRange, Watch};
use pb::watch_create_request::FilterType;

/// Told to a watch over no key at all.
const EMPTY_RANGE: &str = "mvcc: watcher range is empty";

/// Told to a watch whose id is in use.
pub(super) const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";

/// The keys that a request asks for: no key means the first possible one.
pub(super) fn range_of(request: &pb::WatchCreateRequest) -> KeyRange {
    let key: &[u8] = if request.key.is_empty() {
        &[0]
    } else {
        &request.key
    };
    KeyRange::new(key, &request.range_end)
}

/// What to follow, or why the watch is refused whatever the stream holds.
pub(super) fn watch_of(request: &pb::WatchCreateRequest, range: KeyRange) -> Result<Watch, String> {
    if request.start_revision < 0 {
        let (_, text) = Fault::Compacted.code_and_text();
        return Err(text.to_owned());
    }
    if range.is_empty() {
        return Err(EMPTY_RANGE.to_owned());
    }
    let filters = |filter: FilterType| request.filters.contains(&(filter as i32));
    Ok(Watch {
        from: (request.start_revision > 0).then_some(Revision(request.start_revision)),
        puts: !filters(FilterType::Noput),
        deletes: !filters(FilterType::Nodelete),
        prev: request.prev_kv,
        range,
    })
}

/// A refusal as Go's gRPC prints an error: that is what etcd puts into the reason of a watch that is not permitted.
pub(super) fn refusal_text(fault: Fault) -> String {
    let (code, text) = fault.code_and_text();
    format!("rpc error: code = {code:?} desc = {text}")
}
