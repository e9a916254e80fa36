//! Hashes that are equal on members whose stores went the same way. Not etcd's algorithm: only members of one cluster are
//! ever compared.

use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Fault;
use crate::proto::etcdserverpb as pb;
use crate::service::{Replied, Shared};
use crate::wire::Plain;
use almadia_command::Revision;
use tonic::Status;

/// The hash of all changes up to a revision, as the asked member has them. 0 is the present; below, the hash of nothing.
pub(crate) async fn hash_kv<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::HashKvRequest,
) -> Result<Replied<Plain<pb::HashKvResponse>>, Status> {
    shared.root_only(&caller).await?;
    let view = shared.backend.view();
    let revision = match request.revision {
        0 => view.revision(),
        asked => Revision(asked),
    };
    let hash = if revision.0 < 0 {
        0
    } else {
        view.hash_at(revision).map_err(Fault::from)?.folded()
    };
    let compacted = view.compacted().0;
    Ok(Replied::unlogged(Plain(pb::HashKvResponse {
        header: Some(shared.read_header(&view)),
        hash,
        compact_revision: if compacted == 0 { -1 } else { compacted },
        hash_revision: revision.0,
    })))
}

/// The hash of everything, as the asked member has it.
pub(crate) async fn hash<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    _request: pb::HashRequest,
) -> Result<Replied<Plain<pb::HashResponse>>, Status> {
    shared.root_only(&caller).await?;
    let view = shared.backend.view();
    let hash = view.hash_at(view.revision()).map_err(Fault::from)?.folded();
    Ok(Replied::unlogged(Plain(pb::HashResponse {
        header: Some(shared.read_header(&view)),
        hash,
    })))
}
