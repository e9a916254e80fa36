//! A queue kept as keys: `name/<lease id in hexadecimal>`, each on its lease, first created first served. The recipe of
//! etcd's `clientv3/concurrency`, step by step, so that its users and ours stand in the same queue.

use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Fault;
use crate::kv::Written;
use crate::proto::etcdserverpb as pb;
use crate::service::Shared;
use almadia_command::{
    Compare, CompareResult, CompareTarget, DeleteRange, Kind, LeaseId, Operation, OperationKind, Put, Range,
    Revision, SortOrder, SortTarget, Txn,
};
use almadia_store::watch::{KeyRange, Told, Watch, Watches};
use almadia_store::{Answer, Need, Record, View};
use bytes::{Bytes, BytesMut};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};

/// Seconds of the lease that is made for who brings none, as in etcd.
const SESSION_TTL: i64 = 60;

/// How often that lease is renewed while its owner waits for its turn: each third of its time, as etcd's client does.
const SESSION_RENEWED: Duration = Duration::from_secs(20);

/// What a request's parts take in the log beyond names and values, roughly and on the safe side.
const PARTS_BYTES: usize = 64;

/// The keys under one name, on behalf of one caller.
pub(crate) struct Queue<B> {
    shared: Arc<Shared<B>>,
    caller: Caller,
    /// The name and a slash.
    prefix: Bytes,
}

/// A place in a queue: a key, and which life of it.
pub(crate) struct Place {
    pub(crate) key: Bytes,
    pub(crate) lease: i64,
    /// The key's create revision.
    pub(crate) created: i64,
    /// This call made the key; else the same lease stood here already.
    pub(crate) made: bool,
    /// Nobody stood before it.
    pub(crate) is_first: bool,
    /// The value that stood there already.
    pub(crate) found: Option<Bytes>,
    /// Of the write.
    pub(crate) header: pb::ResponseHeader,
    /// The lease was made for this call, which brought none.
    has_own_session: bool,
}

/// The Lock and Election services give no error a code.
pub(crate) fn uncoded(fault: Fault) -> Status {
    Status::new(Code::Unknown, fault.code_and_text().1)
}

/// A key's create revision is this; 0 is for a key that is not there.
pub(crate) fn created_at(key: &Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        key: key.clone(),
        range_end: Bytes::new(),
        target: Some(CompareTarget::CreateRevision(revision)),
    }
}

/// A step of a transaction.
pub(crate) fn step(kind: OperationKind) -> Operation {
    Operation { kind: Some(kind) }
}

impl<B: Backend> Queue<B> {
    pub(crate) fn new(shared: &Arc<Shared<B>>, caller: Caller, name: &[u8]) -> Self {
        let mut prefix = BytesMut::with_capacity(name.len() + 1);
        prefix.extend_from_slice(name);
        prefix.extend_from_slice(b"/");
        Self {
            shared: Arc::clone(shared),
            caller,
            prefix: prefix.freeze(),
        }
    }

    /// Takes a place with this lease, a new one for 0; the place that the lease has already, if it has one.
    pub(crate) async fn enter(&self, lease: i64, value: &[u8]) -> Result<Place, Fault> {
        let has_own_session = lease == 0;
        let lease = self.session(lease).await?;
        let key = self.key(lease);
        let put = Put {
            key: key.clone(),
            value: Bytes::copy_from_slice(value),
            lease,
            ..Put::default()
        };
        let get = Range {
            key: key.clone(),
            ..Range::default()
        };
        let txn = Txn {
            compares: vec![created_at(&key, 0)],
            success: vec![
                step(OperationKind::Put(put)),
                step(OperationKind::Range(self.first_created())),
            ],
            failure: vec![
                step(OperationKind::Range(get)),
                step(OperationKind::Range(self.first_created())),
            ],
        };
        let written = self.write(txn, value.len()).await?;
        let Answer::Txn(mut answer) = written.answer else {
            unreachable!("a transaction was answered with {:?}", written.answer);
        };
        let mut shown = || match answer.responses.pop().map(|response| response.answer) {
            Some(Answer::Range(mut range)) => range.records.pop(),
            _ => None,
        };
        let (owner, own) = (shown(), shown());
        let created = own
            .as_ref()
            .map_or(written.header.revision, |own| own.create_revision().0);
        Ok(Place {
            key,
            lease,
            created,
            made: own.is_none(),
            is_first: owner.is_none_or(|owner| owner.create_revision().0 == created),
            found: own.map(|own| Bytes::copy_from_slice(own.value())),
            header: written.header,
            has_own_session,
        })
    }

    /// Keeps the lease alive that was made for this call, as long as it is polled; one that the caller brought is the caller's
    /// to keep. When the call has been answered nobody keeps it alive any more, as in etcd: it ends within its time.
    pub(crate) async fn keep_session(&self, place: &Place) -> Infallible {
        if !place.has_own_session {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(SESSION_RENEWED).await;
            // Should it fail, there is time for two more; a lease that has ended is noticed when the turn comes.
            let kept = self.shared.backend.keep_lease_alive(LeaseId(place.lease)).await;
            if let Err(error) = kept {
                tracing::debug!(%error, "the lease of somebody who waits was not renewed; will try again");
            }
        }
    }

    /// The lease to stand with: the caller's own, or a new one.
    pub(crate) async fn session(&self, lease: i64) -> Result<i64, Fault> {
        if lease != 0 {
            return Ok(lease);
        }
        let grant = pb::LeaseGrantRequest {
            ttl: SESSION_TTL,
            id: 0,
        };
        let granted = crate::lease::write_grant(&self.shared, &self.caller, grant).await?;
        match granted.answer {
            Answer::LeaseGrant { id, .. } => Ok(id.get()),
            other => unreachable!("a grant was answered with {other:?}"),
        }
    }

    /// Returns when no key is left that was created before `created`.
    pub(crate) async fn wait_for_turn(&self, created: i64) -> Result<(), Fault> {
        let before = Range {
            sort_order: SortOrder::Descend as i32,
            max_create_revision: created - 1,
            ..self.first_created()
        };
        // A filter of 0 would filter nothing; nothing was ever created at revision 0.
        while created > 1
            && let (Some(last), view) = self.find(&before).await?
        {
            self.deletion(last.key(), view.revision()).await?;
        }
        Ok(())
    }

    /// The header of a confirmed read that shows the place still taken, by the same life of the key.
    pub(crate) async fn confirm(&self, place: &Place, lost: Fault) -> Result<pb::ResponseHeader, Fault> {
        let get = Range {
            key: place.key.clone(),
            ..Range::default()
        };
        match self.find(&get).await? {
            (Some(own), view) if own.create_revision().0 == place.created => {
                Ok(self.shared.read_header(&view))
            }
            _ => Err(lost),
        }
    }

    /// Whoever stands first, by a confirmed read.
    pub(crate) async fn first(&self) -> Result<(Option<Record>, Arc<View>), Fault> {
        self.find(&self.first_created()).await
    }

    /// Leaves the queue, if this call entered it. When it does not work the lease will end it.
    pub(crate) async fn give_up(&self, place: &Place) {
        if place.made {
            let left = self.leave(&place.key, place.created).await;
            if let Err(fault) = left {
                tracing::debug!(
                    ?fault,
                    "a key of somebody who went away stays as long as its lease"
                );
            }
        }
    }

    /// Deletes a key if it still has this create revision.
    pub(crate) async fn leave(&self, key: &Bytes, created: i64) -> Result<pb::ResponseHeader, Fault> {
        let delete = DeleteRange {
            key: key.clone(),
            ..DeleteRange::default()
        };
        let txn = Txn {
            compares: vec![created_at(key, created)],
            success: vec![step(OperationKind::DeleteRange(delete))],
            failure: Vec::new(),
        };
        Ok(self.write(txn, key.len()).await?.header)
    }

    pub(crate) async fn write(&self, txn: Txn, value_bytes: usize) -> Result<Written, Fault> {
        let bytes = 4 * (self.prefix.len() + PARTS_BYTES) + value_bytes;
        self.shared.write(&self.caller, Kind::Txn(txn), bytes).await
    }

    /// Follows the changes of a key, or of all keys of the queue, after a revision.
    pub(crate) fn follow(&self, key: Option<&[u8]>, after: Revision, puts: bool, deletes: bool) -> Watches {
        let range = match key {
            Some(key) => KeyRange::new(key, &[]),
            None => KeyRange::new(&self.prefix, &self.prefix_end()),
        };
        let mut watches = self.shared.backend.watches().watches();
        watches.add(Watch {
            range,
            from: Some(Revision(after.0 + 1)),
            puts,
            deletes,
            prev: false,
        });
        watches
    }

    /// Whether the caller may still read the queue.
    pub(crate) fn check_readable(&self) -> Result<(), Fault> {
        self.check_readable_in(&self.shared.backend.view())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<B>> {
        &self.shared
    }

    fn check_readable_in(&self, view: &View) -> Result<(), Fault> {
        let actor = self.shared.actor(&self.caller, view)?;
        let need = Need::Read {
            key: &self.prefix,
            range_end: &self.prefix_end(),
        };
        Ok(view.permits(actor.as_ref(), need)?)
    }

    async fn find(&self, range: &Range) -> Result<(Option<Record>, Arc<View>), Fault> {
        let view = self.shared.readable_view(false).await?;
        self.check_readable_in(&view)?;
        let mut found = view.range(range)?;
        Ok((found.records.pop(), view))
    }

    /// Returns when a key was deleted after `after`, or when that cannot be told any more and must be looked at.
    async fn deletion(&self, key: &[u8], after: Revision) -> Result<(), Fault> {
        let mut watches = self.follow(Some(key), after, false, true);
        let mut cut = self.shared.cut(false);
        loop {
            let told = tokio::select! {
                told = std::future::poll_fn(|context| watches.poll_next(context)) => told,
                fault = &mut cut => return Err(fault),
            };
            match told {
                Some(Told::Reached { .. }) => {}
                Some(Told::Events { .. } | Told::Compacted { .. }) => return Ok(()),
                None => return Err(Fault::Stopped),
            }
        }
    }

    /// As Go prints a signed number in hexadecimal: a sign, then the magnitude.
    fn key(&self, lease: i64) -> Bytes {
        let sign = if lease < 0 { "-" } else { "" };
        let id = format!("{sign}{:x}", lease.unsigned_abs());
        [self.prefix.as_ref(), id.as_bytes()].concat().into()
    }

    /// The first key after all that begin with the prefix, which ends with a slash.
    fn prefix_end(&self) -> Bytes {
        let mut end = self.prefix.to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        end.into()
    }

    fn first_created(&self) -> Range {
        Range {
            key: self.prefix.clone(),
            range_end: self.prefix_end(),
            sort_order: SortOrder::Ascend as i32,
            sort_target: SortTarget::Create as i32,
            limit: 1,
            ..Range::default()
        }
    }
}
