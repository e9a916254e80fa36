//! The same courses on a real etcd and here: every answer must be the same message, ids and terms aside. Runs when the
//! environment variable `ALMADIA_ETCD_BIN` names an etcd program.

use super::*;
use crate::beside::{self, Etcd};
use crate::double::kv_client;
use Step::{Compact, Delete, Hear, Txn};
use pb::kv_client::KvClient;

/// One step of a course.
#[derive(Clone)]
enum Step {
    /// On the watch stream.
    Ask(RequestUnion),
    Put(&'static str, String),
    Delete(&'static str, &'static str),
    /// Two puts and a deletion at once.
    Txn(&'static str, &'static str, &'static str),
    Compact(i64),
    /// This many answers come.
    Hear(usize),
}

fn create(request: pb::WatchCreateRequest) -> Step {
    Step::Ask(RequestUnion::CreateRequest(request))
}

fn cancel(watch_id: i64) -> Step {
    Step::Ask(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id }))
}

fn progress() -> Step {
    Step::Ask(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}))
}

fn put(key: &'static str, value: &str) -> Step {
    Step::Put(key, value.to_owned())
}

/// A stream with its store.
struct Side {
    kv: KvClient<Channel>,
    client: Client,
}

impl Side {
    async fn open(channel: Channel) -> Self {
        Self {
            kv: kv_client(channel.clone()),
            client: Client::begin(&channel).await,
        }
    }

    /// Carries a course out; every answer on the stream, and whatever still comes when it is over.
    async fn run(&mut self, course: &[Step]) -> Vec<pb::WatchResponse> {
        let mut heard = Vec::new();
        for step in course {
            match step.clone() {
                Step::Ask(union) => self.client.send(union).await,
                Step::Hear(count) => {
                    let start = heard.len();
                    for _ in 0..count {
                        heard.push(bare(self.client.next().await));
                    }
                    // The order between watches is not fixed.
                    heard[start..].sort_by_key(|answer| answer.watch_id);
                }
                step => self.write(step).await,
            }
        }
        // etcd looks at watches that are behind every 100 ms.
        let quiet = Duration::from_millis(300);
        while let Ok(answer) = timeout(quiet, self.client.next()).await {
            heard.push(bare(answer));
        }
        heard
    }

    async fn write(&mut self, step: Step) {
        let put = |key: &str, value: String| pb::PutRequest {
            key: key.to_owned().into(),
            value: value.into(),
            ..Default::default()
        };
        let delete = |key: &str, end: &str| pb::DeleteRangeRequest {
            key: key.to_owned().into(),
            range_end: end.to_owned().into(),
            ..Default::default()
        };
        match step {
            Step::Put(key, value) => drop(self.kv.put(put(key, value)).await.expect("well formed")),
            Step::Delete(key, end) => {
                drop(self.kv.delete_range(delete(key, end)).await.expect("well formed"));
            }
            Step::Compact(revision) => {
                let request = pb::CompactionRequest {
                    revision,
                    physical: true,
                };
                self.kv.compact(request).await.expect("the revision is there");
            }
            Step::Txn(one, other, gone) => {
                use pb::request_op::Request;
                let operations = [
                    Request::RequestPut(put(one, "t".to_owned())),
                    Request::RequestDeleteRange(delete(gone, "")),
                    Request::RequestPut(put(other, "t".to_owned())),
                ];
                let success = operations.map(|operation| pb::RequestOp {
                    request: Some(operation),
                });
                let request = pb::TxnRequest {
                    success: success.to_vec(),
                    ..Default::default()
                };
                self.kv.txn(request).await.expect("well formed");
            }
            Step::Ask(_) | Step::Hear(_) => unreachable!("these are for the stream"),
        }
    }
}

/// Without what differs from server to server.
fn bare(mut answer: pb::WatchResponse) -> pb::WatchResponse {
    if let Some(header) = &mut answer.header {
        header.cluster_id = 0;
        header.member_id = 0;
        header.raft_term = 0;
    }
    answer
}

fn with_prev(request: pb::WatchCreateRequest) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        prev_kv: true,
        ..request
    }
}

fn named(watch_id: i64, request: pb::WatchCreateRequest) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { watch_id, ..request }
}

fn filtered(filters: &[i32], request: pb::WatchCreateRequest) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        filters: filters.to_vec(),
        ..request
    }
}

/// A name, and what is done.
type Course = (&'static str, Vec<Step>);

fn live() -> Course {
    (
        "live",
        vec![
            create(with_prev(all())),
            Hear(1),
            put("a", "1"),
            Hear(1),
            put("a", "2"),
            Hear(1),
            Txn("b", "c", "a"),
            Hear(1),
            Delete("a", "z"),
            Hear(1),
            Delete("a", "z"),
            cancel(0),
            Hear(1),
            put("a", "3"),
        ],
    )
}

fn history() -> Course {
    (
        "history",
        vec![
            put("a", "1"),
            put("b", "1"),
            put("a", "2"),
            Delete("a", "c"),
            Txn("b", "c", "x"),
            create(with_prev(from(1, all()))),
            Hear(2),
            create(from(4, one("a"))),
            Hear(2),
            create(from(6, one("c"))),
            Hear(2),
            create(from(7, one("c"))),
            Hear(1),
            put("c", "2"),
            Hear(3),
        ],
    )
}

fn ids() -> Course {
    (
        "ids",
        vec![
            create(one("k")),
            Hear(1),
            create(named(1, one("k"))),
            Hear(1),
            create(one("k")),
            Hear(1),
            create(named(2, one("k"))),
            Hear(1),
            create(named(-5, one("k"))),
            Hear(1),
            create(named(-1, one("k"))),
            Hear(1),
            cancel(2),
            Hear(1),
            cancel(2),
            cancel(77),
            create(one("k")),
            Hear(1),
            create(named(2, one("k"))),
            Hear(1),
        ],
    )
}

fn refusals() -> Course {
    (
        "refusals",
        vec![
            create(all_between("b", "a")),
            Hear(1),
            create(all_between("a", "a")),
            Hear(1),
            create(from(-1, one("k"))),
            Hear(1),
            create(from(-1, all_between("b", "a"))),
            Hear(1),
            create(named(3, from(-9, one("k")))),
            Hear(1),
            create(named(3, one("k"))),
            Hear(1),
            create(named(3, all_between("b", "a"))),
            Hear(1),
            create(named(3, from(-1, one("k")))),
            Hear(1),
            create(one("")),
            Hear(1),
            create(all_between("", "\0")),
            Hear(1),
        ],
    )
}

fn filters() -> Course {
    (
        "filters",
        vec![
            create(filtered(&[0], all())),
            Hear(1),
            put("a", "1"),
            Delete("a", ""),
            Hear(1),
            create(filtered(&[1], from(1, all()))),
            Hear(2),
            create(filtered(&[0, 1], from(1, all()))),
            Hear(1),
            put("b", "1"),
            Hear(1),
        ],
    )
}

fn future() -> Course {
    (
        "future",
        vec![
            create(from(4, all())),
            Hear(1),
            put("a", "2"),
            progress(),
            put("a", "3"),
            put("a", "4"),
            Hear(1),
            progress(),
            Hear(1),
        ],
    )
}

fn notices() -> Course {
    (
        "progress",
        vec![
            progress(),
            put("a", "1"),
            create(all()),
            Hear(1),
            progress(),
            Hear(1),
            put("a", "2"),
            Hear(1),
            progress(),
            Hear(1),
            cancel(0),
            Hear(1),
            progress(),
        ],
    )
}

fn compacted() -> Course {
    (
        "compacted",
        vec![
            put("a", "2"),
            put("b", "3"),
            Delete("a", "c"),
            put("a", "5"),
            Compact(3),
            create(with_prev(from(3, all()))),
            Hear(2),
            create(from(2, all())),
            Hear(2),
            create(named(1, one("k"))),
            Hear(1),
            progress(),
            cancel(1),
            Hear(1),
            progress(),
            Hear(0),
        ],
    )
}

fn compacted_deletion() -> Course {
    (
        "compacted deletion",
        vec![
            put("a", "2"),
            put("b", "3"),
            Delete("a", "c"),
            put("a", "5"),
            Compact(4),
            create(with_prev(from(4, all()))),
            Hear(2),
            put("b", "6"),
            Hear(1),
        ],
    )
}

fn up_to_date_while_compacted() -> Course {
    (
        "up to date while compacted",
        vec![
            create(with_prev(all())),
            Hear(1),
            put("a", "2"),
            Hear(1),
            Compact(2),
            put("a", "3"),
            Hear(1),
            Compact(3),
            progress(),
            Hear(1),
        ],
    )
}

fn fragments() -> Course {
    let large = "v".repeat(600 * 1024);
    let cut = pb::WatchCreateRequest {
        fragment: true,
        ..with_prev(filtered(&[0], all()))
    };
    (
        "fragments",
        vec![
            Step::Put("a", large.clone()),
            Step::Put("b", large.clone()),
            Step::Put("c", large.clone()),
            Step::Put("d", large),
            create(cut),
            Hear(1),
            Delete("a", "z"),
            Hear(2),
        ],
    )
}

/// The courses; each begins on a store of its own, at revision 1.
fn courses() -> Vec<Course> {
    vec![
        live(),
        history(),
        ids(),
        refusals(),
        filters(),
        future(),
        notices(),
        compacted(),
        compacted_deletion(),
        up_to_date_while_compacted(),
        fragments(),
    ]
}

#[tokio::test]
async fn every_course_goes_as_on_etcd() {
    let Some(program) = beside::etcd_or_skip("every_course_goes_as_on_etcd") else {
        return;
    };
    for (name, course) in courses() {
        let etcd = Etcd::start(&program).await;
        drop(etcd.connect().await);
        let mut theirs = Side::open(crate::double::connect(&etcd.url).await).await;
        let scene = Scene::new().await;
        let mut ours = Side::open(crate::double::connect(&format!("http://{}", scene.address)).await).await;
        let (expected, found) = tokio::join!(theirs.run(&course), ours.run(&course));
        assert_eq!(found, expected, "{name}: left is ours, right is etcd's");
        println!("{name}: {} answers", found.len());
    }
}
