//! Tests of what the watchers notice, with a server made by hand.

use almadia_etcd::proto::etcdserverpb::WatchResponse;
use almadia_etcd::proto::mvccpb::{Event as WireEvent, KeyValue};
use prost::Message;

use super::*;
use crate::bench::workload::{KEY_PREFIX, KEY_PREFIX_END};

const RANGES: [KeyRange; 2] = [(KEY_PREFIX, KEY_PREFIX_END), (b"x", b"y")];

fn watching(watchers: usize, per_stream: usize, start_revision: u64) -> Watching {
    Watching {
        watchers,
        per_stream,
        ranges: RANGES[..1].to_vec(),
        start_revision,
        as_kubernetes: false,
    }
}

fn created(watch_id: i64) -> Vec<u8> {
    let created = true;
    WatchResponse {
        watch_id,
        created,
        ..WatchResponse::default()
    }
    .encode_to_vec()
}

fn told(watch_id: i64, revisions: &[i64]) -> Vec<u8> {
    let event = |revision: &i64| WireEvent {
        kv: Some(KeyValue {
            mod_revision: *revision,
            value: 1_000_u64.to_le_bytes().to_vec().into(),
            ..KeyValue::default()
        }),
        ..WireEvent::default()
    };
    let events = revisions.iter().map(event).collect();
    WatchResponse {
        watch_id,
        events,
        ..WatchResponse::default()
    }
    .encode_to_vec()
}

fn tally(revisions: &[u64]) -> Tally {
    let mut tally = Tally::default();
    revisions.iter().for_each(|revision| tally.add(*revision));
    tally
}

/// What one watcher has to complain about that was told these revisions, in these messages, where 5, 7 and 8 were written.
fn complaints(messages: &[&[i64]], uncertain: u64) -> Vec<(String, u64)> {
    let (watching, board) = (watching(1, 1, 0), Board::default());
    let mut watchers = Watchers::new(&watching, Instant::now(), &board);
    let now = Instant::now();
    watchers.message(0, &created(0), now);
    for revisions in messages {
        watchers.message(0, &told(0, revisions), now);
    }
    board
        .expected
        .set(Expected::Written(vec![tally(&[5, 7, 8])], uncertain))
        .expect("once");
    watchers.verdict().failures.into_iter().collect()
}

/// Promise: what is told once, in order and completely is right, and every departure from it is noticed. (The planted bugs
/// of the check.)
#[test]
fn every_event_once_and_in_order() {
    let says = |messages: &[&[i64]]| complaints(messages, 0);
    let one = |text: &str, count| vec![(text.to_owned(), count)];
    assert_eq!(says(&[&[5, 7], &[8]]), []);
    assert_eq!(says(&[&[5, 8]]), one("events are missing", 1));
    assert_eq!(says(&[]), one("events are missing", 3));
    assert_eq!(
        says(&[&[5, 7], &[7, 8]]),
        one("events came twice or out of order", 1)
    );
    assert_eq!(says(&[&[7, 5, 8]]).len(), 2);
    assert_eq!(
        says(&[&[5, 6, 8]]),
        one("watchers were told of other revisions than were written", 1)
    );
    assert_eq!(says(&[&[5, 7, 8, 9]]), one("events came that nobody wrote", 1));
    assert_eq!(complaints(&[&[5, 7, 8, 9]], 1), []);
    assert_eq!(complaints(&[&[5, 7, 8, 9, 10]], 1).len(), 1);
}

/// Promise: from a start revision on nothing is left out, not at the start either.
#[test]
fn history_is_told_without_gaps() {
    for (revisions, missing) in [(&[3, 4, 5][..], 0), (&[4, 5], 1), (&[3, 5], 1), (&[3, 4], 1)] {
        let (watching, board) = (watching(1, 1, 3), Board::default());
        let mut watchers = Watchers::new(&watching, Instant::now(), &board);
        watchers.message(0, &created(0), Instant::now());
        watchers.message(0, &told(0, revisions), Instant::now());
        board.expected.set(Expected::UpTo(5)).expect("once");
        assert_eq!(watchers.verdict().failed(), missing, "{revisions:?}");
        assert_eq!(board.reached(), revisions.last().map_or(0, |last| *last as u64));
    }
}

/// Promise: watches that share a stream are kept apart by their ids, and one that ends is told.
#[test]
fn watches_share_streams() {
    let (watching, board) = (watching(5, 2, 0), Board::default());
    let mut watchers = Watchers::new(&watching, Instant::now(), &board);
    assert_eq!([0, 1, 2].map(|stream| watchers.open(stream).len()), [2, 2, 1]);
    let now = Instant::now();
    for stream in 0..3 {
        for id in 0..if stream == 2 { 1 } else { 2 } {
            watchers.message(stream, &created(10 + id), now);
        }
    }
    assert_eq!(board.created(), 5);
    for stream in 0..3 {
        watchers.message(stream, &told(10, &[5]), now);
    }
    watchers.message(1, &told(11, &[5, 6]), now);
    let counts: Vec<u64> = watchers.each.iter().map(|watcher| watcher.tally.count).collect();
    assert_eq!(counts, [1, 0, 1, 2, 1]);
    assert!(watchers.load.failures.is_empty());
    watchers.message(0, &told(99, &[9]), now);
    watchers.message(2, &created(77), now);
    assert_eq!(watchers.load.failed(), 2);
    let end = WatchResponse {
        canceled: true,
        cancel_reason: "no more".to_owned(),
        ..WatchResponse::default()
    };
    watchers.message(0, &end.encode_to_vec(), now);
    assert!(board.is_broken());
    assert!(
        watchers
            .load
            .failures
            .keys()
            .any(|reason| reason.ends_with("canceled: no more"))
    );
}

/// Promise: events are counted within the window, and their latency from when their puts were due in it.
#[test]
fn events_are_counted_within_the_window() {
    let (watching, board) = (watching(1, 1, 0), Board::default());
    let stamps_from = Instant::now();
    let at = |us| stamps_from + Duration::from_micros(us);
    let mut watchers = Watchers::new(&watching, stamps_from, &board);
    watchers.message(0, &created(0), stamps_from);
    watchers.message(0, &told(0, &[5]), at(500));
    let window = Window {
        from: at(1),
        until: Some(at(100)),
    };
    board.window.set(window).expect("once");
    // The values say: due 1 µs after stamps begin.
    watchers.message(0, &told(0, &[7]), at(51));
    watchers.message(0, &told(0, &[8]), at(101));
    assert_eq!(
        (watchers.load.operations, watchers.load.latencies_ns.len()),
        (1, 2)
    );
    assert!(watchers.load.latencies_ns.min().abs_diff(50_000) < 100);
}

/// Promise: the watchers go when all has come, or when it is too late for the rest.
#[test]
fn waiting_has_an_end() {
    let (watching, board) = (watching(1, 1, 0), Board::default());
    let mut watchers = Watchers::new(&watching, Instant::now(), &board);
    let now = Instant::now();
    watchers.message(0, &created(0), now);
    assert!(!watchers.is_over(now));
    let expected = Expected::Written(vec![tally(&[5])], 0);
    board.expected.set(expected).expect("once");
    assert!(!watchers.is_over(now));
    assert!(!watchers.is_over(now + LATE_MAX / 2));
    assert!(watchers.is_over(now + LATE_MAX));
    watchers.message(0, &told(0, &[5]), now);
    assert!(!watchers.is_over(now + LATE_MAX));
    assert!(watchers.is_over(now + LATE_MAX + SURPLUS));
}
