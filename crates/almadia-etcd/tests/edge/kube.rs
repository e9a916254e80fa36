//! What kube-apiserver calls, in its shapes: rows B0 of the etcd surface. (Expiry of leases and leaders that change are
//! shown with whole members; health and connection habits with real processes.)

use crate::double::{Scene, connect};
use almadia_etcd::proto::etcdserverpb as pb;
use almadia_etcd::proto::mvccpb;
use bytes::Bytes;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::request_op::Request;
use pb::response_op::Response;
use pb::watch_request::RequestUnion;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::Code;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

const PREFIX: &str = "/registry/pods/";

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn end_of(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    end.into()
}

fn list(limit: i64, revision: i64, from: Option<&[u8]>) -> pb::RangeRequest {
    let start = from.map_or_else(|| text(PREFIX), |last| [last, &[0]].concat().into());
    pb::RangeRequest {
        key: start,
        range_end: end_of(PREFIX),
        limit,
        revision,
        ..pb::RangeRequest::default()
    }
}

fn get(key: &str) -> pb::RangeRequest {
    pb::RangeRequest {
        key: text(key),
        limit: 1,
        ..pb::RangeRequest::default()
    }
}

/// "Put it if nobody has changed it since `expected`, else show me what is there."
fn guarded(key: &str, expected: i64, then: Request) -> pb::TxnRequest {
    let operation = |request| pb::RequestOp {
        request: Some(request),
    };
    pb::TxnRequest {
        compare: vec![pb::Compare {
            result: CompareResult::Equal as i32,
            target: CompareTarget::Mod as i32,
            key: text(key),
            target_union: Some(TargetUnion::ModRevision(expected)),
            ..pb::Compare::default()
        }],
        success: vec![operation(then)],
        failure: vec![operation(Request::RequestRange(get(key)))],
    }
}

fn put(key: &str, value: &str, lease: i64) -> Request {
    Request::RequestPut(pb::PutRequest {
        key: text(key),
        value: text(value),
        lease,
        ..pb::PutRequest::default()
    })
}

fn delete(key: &str) -> Request {
    Request::RequestDeleteRange(pb::DeleteRangeRequest {
        key: text(key),
        ..pb::DeleteRangeRequest::default()
    })
}

impl Scene {
    async fn txn(&mut self, txn: pb::TxnRequest) -> pb::TxnResponse {
        self.kv.txn(txn).await.unwrap().into_inner()
    }

    async fn create(&mut self, key: &str, value: &str) -> i64 {
        let done = self.txn(guarded(key, 0, put(key, value, 0))).await;
        assert!(done.succeeded);
        done.header.unwrap().revision
    }

    async fn range(&mut self, range: pb::RangeRequest) -> pb::RangeResponse {
        self.kv.range(range).await.unwrap().into_inner()
    }

    async fn watch(&self, first: RequestUnion) -> Watch {
        let channel = connect(&format!("http://{}", self.address)).await;
        let (ask, requests) = mpsc::channel(4);
        let mut client = pb::watch_client::WatchClient::new(channel);
        ask.send(of(first)).await.unwrap();
        let answers = client.watch(ReceiverStream::new(requests)).await.unwrap();
        Watch {
            ask,
            answers: answers.into_inner(),
        }
    }
}

/// An open watch stream; an apiserver never closes its side while it watches.
struct Watch {
    ask: mpsc::Sender<pb::WatchRequest>,
    answers: tonic::Streaming<pb::WatchResponse>,
}

fn of(union: RequestUnion) -> pb::WatchRequest {
    pb::WatchRequest {
        request_union: Some(union),
    }
}

impl Watch {
    async fn next(&mut self) -> pb::WatchResponse {
        self.answers.message().await.unwrap().unwrap()
    }

    /// Asks for progress until it is answered, as an apiserver does while a consistent list waits: whoever is not
    /// synced yet gets no answer.
    async fn progress(&mut self) -> pb::WatchResponse {
        loop {
            let progress = RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
            self.ask.send(of(progress)).await.unwrap();
            if let Ok(notice) = tokio::time::timeout(Duration::from_millis(100), self.next()).await {
                return notice;
            }
        }
    }
}

fn watch_from(start_revision: i64) -> RequestUnion {
    RequestUnion::CreateRequest(pb::WatchCreateRequest {
        key: text(PREFIX),
        range_end: end_of(PREFIX),
        start_revision,
        prev_kv: true,
        progress_notify: true,
        ..pb::WatchCreateRequest::default()
    })
}

#[tokio::test]
async fn b0_1_b0_5_b0_6_get() {
    let mut scene = Scene::new().await;
    let revision = scene.create("/registry/pods/a", "1").await;
    scene.create("/registry/pods/b", "1").await;
    let now = scene.range(get("/registry/pods/a")).await;
    assert_eq!((now.kvs.len(), now.kvs[0].mod_revision), (1, revision));
    assert_eq!(now.header.unwrap().revision, revision + 1);
    let mut old = get("/registry/pods/b");
    old.revision = revision;
    let then = scene.range(old).await;
    assert!(then.kvs.is_empty());
    // Health: the key need not exist.
    let health = scene.range(get("/registry/health")).await;
    assert_eq!((health.count, health.header.unwrap().revision), (0, revision + 1));
}

#[tokio::test]
async fn b0_2_b0_3_b0_4_pages_counts_and_keys() {
    let mut scene = Scene::new().await;
    for number in 0..25 {
        scene.create(&format!("{PREFIX}{number:03}"), "value").await;
    }
    scene.create("/registry/podsabove", "other").await;
    let first = scene.range(list(10, 0, None)).await;
    let pinned = first.header.unwrap().revision;
    assert_eq!((first.kvs.len(), first.count, first.more), (10, 25, true));
    // Written meanwhile, and not on the later pages.
    scene.create(&format!("{PREFIX}011x"), "late").await;
    let (mut pages, mut seen) = (vec![first], Vec::new());
    while let Some(page) = pages.last().filter(|page| page.more) {
        let last = page.kvs.last().unwrap().key.clone();
        let next = scene.range(list(10, pinned, Some(&last))).await;
        let left = 25 - 10 * pages.len() as i64;
        assert_eq!(
            (next.count, next.more),
            (left, left > 10),
            "the whole of what is asked for"
        );
        pages.push(next);
    }
    pages
        .iter()
        .for_each(|page| seen.extend(page.kvs.iter().map(|kv| kv.key.clone())));
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted());
    let count = pb::RangeRequest {
        count_only: true,
        ..list(0, 0, None)
    };
    let counted = scene.range(count).await;
    assert_eq!((counted.count, counted.kvs.len()), (26, 0));
    let keys = pb::RangeRequest {
        keys_only: true,
        ..list(0, 0, None)
    };
    let keys = scene.range(keys).await;
    assert!(
        keys.kvs
            .iter()
            .all(|kv| kv.value.is_empty() && kv.mod_revision > 1)
    );
}

#[tokio::test]
async fn b0_7_b0_8_b0_21_guarded_writes() {
    let mut scene = Scene::new().await;
    let key = "/registry/pods/a";
    let created = scene.create(key, "1").await;
    let again = scene.txn(guarded(key, 0, put(key, "2", 0))).await;
    assert!(!again.succeeded);
    let Some(Response::ResponseRange(there)) = &again.responses[0].response else {
        panic!("the present is shown")
    };
    assert_eq!(there.kvs[0].value, text("1"));
    let updated = scene.txn(guarded(key, created, put(key, "2", 0))).await;
    let Some(Response::ResponsePut(put_answer)) = &updated.responses[0].response else {
        panic!("a put is answered")
    };
    // Older apiservers read the revision here.
    assert_eq!(put_answer.header.unwrap().revision, created + 1);
    let stale = scene.txn(guarded(key, created, delete(key))).await;
    assert!(!stale.succeeded);
    let deleted = scene.txn(guarded(key, created + 1, delete(key))).await;
    let Some(Response::ResponseDeleteRange(answer)) = &deleted.responses[0].response else {
        panic!("a deletion is answered")
    };
    assert_eq!(
        (answer.deleted, answer.header.unwrap().revision),
        (1, created + 2)
    );
}

#[tokio::test]
async fn b0_9_b0_10_two_apiservers_compact_once() {
    let mut scene = Scene::new().await;
    let key = "compact_rev_key";
    let step = |version: i64, revision: &str| {
        let mut txn = guarded(key, 0, put(key, revision, 0));
        txn.compare[0].target = CompareTarget::Version as i32;
        txn.compare[0].target_union = Some(TargetUnion::Version(version));
        txn
    };
    let mut watch = scene
        .watch(RequestUnion::CreateRequest(pb::WatchCreateRequest {
            key: text(key),
            ..pb::WatchCreateRequest::default()
        }))
        .await;
    assert!(watch.next().await.created);
    for number in 0..5 {
        scene.create(&format!("{PREFIX}{number}"), "v").await;
    }
    let (mine, theirs) = (scene.txn(step(0, "6")).await, scene.txn(step(0, "6")).await);
    assert!(mine.succeeded && !theirs.succeeded);
    let Some(Response::ResponseRange(there)) = &theirs.responses[0].response else {
        panic!("the loser sees what the winner wrote")
    };
    assert_eq!((there.kvs[0].version, there.kvs[0].value.clone()), (1, text("6")));
    let event = watch.next().await;
    assert_eq!(event.events[0].kv.as_ref().unwrap().value, text("6"));
    let compaction = pb::CompactionRequest {
        revision: 6,
        physical: false,
    };
    scene.kv.compact(compaction).await.unwrap();
    let refused = scene.kv.compact(compaction).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    // B0.17: matched by its text.
    let gone = scene.kv.range(list(0, 3, None)).await.unwrap_err();
    assert_eq!(
        (gone.code(), gone.message()),
        (
            Code::OutOfRange,
            "etcdserver: mvcc: required revision has been compacted"
        )
    );
    let future = scene.kv.range(list(0, 999, None)).await.unwrap_err();
    assert_eq!(
        future.message(),
        "etcdserver: mvcc: required revision is a future revision"
    );
}

#[tokio::test]
async fn b0_11_b0_12_b0_18_the_watch_cache() {
    let mut scene = Scene::new().await;
    let created = scene.create("/registry/pods/a", "1").await;
    let at = scene.range(list(0, 0, None)).await.header.unwrap().revision;
    // Somebody else writes meanwhile: until then the watch begins in the future, and nothing is said of it.
    scene.create("/registry/leases/other", "1").await;
    let mut watch = scene.watch(watch_from(at + 1)).await;
    let first = watch.next().await;
    assert!(first.created && !first.canceled);
    let notice = watch.progress().await;
    assert_eq!((notice.watch_id, notice.events.len()), (-1, 0));
    assert!(notice.header.unwrap().revision > at);

    let update = guarded("/registry/pods/a", created, put("/registry/pods/a", "2", 0));
    let updated = scene.txn(update).await.header.unwrap().revision;
    scene
        .txn(guarded("/registry/pods/a", updated, delete("/registry/pods/a")))
        .await;
    let mut events: Vec<mvccpb::Event> = Vec::new();
    while events.len() < 2 {
        let response = watch.next().await;
        let last = response.events.last().unwrap().kv.as_ref().unwrap().mod_revision;
        assert!(response.header.unwrap().revision >= last);
        events.extend(response.events);
    }
    let put_event = &events[0];
    assert_eq!(put_event.r#type, mvccpb::event::EventType::Put as i32);
    assert_eq!(put_event.prev_kv.as_ref().unwrap().value, text("1"));
    let delete_event = &events[1];
    assert_eq!(delete_event.r#type, mvccpb::event::EventType::Delete as i32);
    assert_eq!(delete_event.prev_kv.as_ref().unwrap().value, text("2"));
    assert_eq!(delete_event.kv.as_ref().unwrap().mod_revision, updated + 1);
}

#[tokio::test]
async fn b0_11_a_watch_that_is_too_late_must_list_anew() {
    let mut scene = Scene::new().await;
    for number in 0..9 {
        scene.create(&format!("{PREFIX}{number}"), "v").await;
    }
    let compaction = pb::CompactionRequest {
        revision: 8,
        physical: true,
    };
    scene.kv.compact(compaction).await.unwrap();
    let mut watch = scene.watch(watch_from(3)).await;
    let mut cancelled = watch.next().await;
    if !cancelled.canceled {
        cancelled = watch.next().await;
    }
    assert!(cancelled.canceled);
    assert_eq!(cancelled.compact_revision, 8);
}

#[tokio::test]
async fn b0_14_b0_15_what_an_apiserver_reads_from_a_status() {
    let mut scene = Scene::new().await;
    let status = scene
        .maintenance
        .status(pb::StatusRequest {})
        .await
        .unwrap()
        .into_inner();
    let numbers: Vec<u32> = status
        .version
        .split('.')
        .map(|part| part.parse().unwrap())
        .collect();
    assert_eq!(numbers.len(), 3);
    assert!(
        numbers >= vec![3, 5, 13],
        "below, progress requests are not made: {}",
        status.version
    );
    assert!(status.db_size >= 0);
}

#[tokio::test]
async fn b0_16_one_lease_for_many_events() {
    let mut scene = Scene::new().await;
    let channel = connect(&format!("http://{}", scene.address)).await;
    let mut leases = pb::lease_client::LeaseClient::new(channel);
    let grant = pb::LeaseGrantRequest { ttl: 3600, id: 0 };
    let lease = leases.lease_grant(grant).await.unwrap().into_inner().id;
    for number in 0..300 {
        let key = format!("/registry/events/{number}");
        assert!(
            scene
                .txn(guarded(&key, 0, put(&key, "event", lease)))
                .await
                .succeeded
        );
    }
    let ask = pb::LeaseTimeToLiveRequest {
        id: lease,
        keys: true,
    };
    let left = leases.lease_time_to_live(ask).await.unwrap().into_inner();
    assert_eq!((left.keys.len(), left.granted_ttl), (300, 3600));
    let before = scene
        .range(get("/registry/events/0"))
        .await
        .header
        .unwrap()
        .revision;
    leases
        .lease_revoke(pb::LeaseRevokeRequest { id: lease })
        .await
        .unwrap();
    let after = scene.range(get("/registry/events/0")).await;
    assert_eq!(
        (after.count, after.header.unwrap().revision),
        (0, before + 1),
        "one revision for all"
    );
}

#[tokio::test]
async fn b0_19_a_list_as_a_stream() {
    let mut scene = Scene::new().await;
    for number in 0..250 {
        scene
            .create(&format!("{PREFIX}{number:03}"), &"v".repeat(100))
            .await;
    }
    let whole = scene.range(list(0, 0, None)).await;
    let mut chunks = scene
        .kv
        .range_stream(list(0, 0, None))
        .await
        .unwrap()
        .into_inner();
    let (mut keys, mut last) = (Vec::new(), None);
    while let Some(chunk) = chunks.message().await.unwrap() {
        let part = chunk.range_response.unwrap();
        keys.extend(part.kvs.iter().map(|kv| kv.key.clone()));
        last = Some(part);
    }
    let all: Vec<Bytes> = whole.kvs.iter().map(|kv| kv.key.clone()).collect();
    assert_eq!(keys, all);
    let last = last.unwrap();
    assert_eq!((last.count, last.more), (250, false));
    assert_eq!(last.header.unwrap().revision, whole.header.unwrap().revision);
}
