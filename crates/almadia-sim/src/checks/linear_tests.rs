//! Right histories pass, planted wrong ones are found, and small random ones are judged as the slow twin judges them.

use super::*;
use crate::checks::sample::{call, deleted, done, get_at, kv, list, put, put_at, put_request, sees};
use crate::checks::twin;
use crate::history::{Body, Event, KeyValue, Outcome, Range, Refusal, Request, Span, Text};

/// a: put at 2 and 3, deleted at 4; b: put at 5.
fn story() -> Vec<Vec<Event>> {
    vec![
        vec![put("a", "1", 2, 2, 1)],
        vec![put("a", "2", 2, 3, 2)],
        vec![deleted("a", 4)],
        vec![put("b", "1", 5, 5, 1)],
    ]
}

/// The calls that wrote it, 10 us each, one after the other.
fn writers() -> Vec<Call> {
    vec![
        put_at("a", "1", 10, 20, 2),
        put_at("a", "2", 30, 40, 3),
        crate::checks::sample::delete_at("a", 50, 60, 4),
        put_at("b", "1", 70, 80, 5),
    ]
}

#[track_caller]
fn check_calls(calls: Vec<Call>, changes: Vec<Vec<Event>>, expected: usize) {
    let history = History {
        calls,
        ..History::default()
    };
    let witness = Witness::of(changes);
    let found = list(|findings| {
        check(&history, &witness, &Table::of(&witness), findings);
    });
    assert_eq!(found.len(), expected, "{found:#?}");
}

/// The right history and one more call.
#[track_caller]
fn check_with(more: Call, expected: usize) {
    let mut calls = writers();
    calls.push(more);
    check_calls(calls, story(), expected);
}

fn stale(key: &str, kvs: Vec<KeyValue>, invoked_us: u64, returned_us: u64, revision: Revision) -> Call {
    let mut call = sees(key, kvs, invoked_us, returned_us, revision);
    if let Request::Range(range) = &mut call.request {
        range.serializable = true;
    }
    call
}

#[test]
fn right_histories_pass() {
    check_calls(writers(), story(), 0);
    check_with(sees("a", vec![kv("a", "1", 2, 2, 1)], 15, 35, 2), 0);
    check_with(sees("a", vec![kv("a", "2", 2, 3, 2)], 41, 42, 3), 0);
    check_with(get_at("a", 61, 62, 4), 0);
    check_with(stale("a", vec![kv("a", "1", 2, 2, 1)], 90, 99, 2), 0);
    let old = Range {
        revision: 3,
        ..Range::of(Span::one("a"))
    };
    let body = Body::Range {
        kvs: vec![kv("a", "2", 2, 3, 2)],
        count: 1,
        more: false,
    };
    check_with(done(Request::Range(old), 90, 99, 5, body), 0);
    check_with(call(put_request("z", "9"), 10, 99, Outcome::Unknown), 0);
    check_with(
        call(
            put_request("a", "2"),
            10,
            99,
            Outcome::Refused(Refusal::Other("full".into())),
        ),
        0,
    );
}

#[test]
fn planted_stale_reads_are_found() {
    check_with(sees("a", vec![kv("a", "1", 2, 2, 1)], 41, 42, 2), 1);
    // Both writes that came before it are in front of its place.
    check_with(get_at("a", 41, 42, 1), 2);
}

#[test]
fn planted_reads_of_the_future_are_found() {
    check_with(sees("a", vec![kv("a", "2", 2, 3, 2)], 21, 25, 3), 1);
    check_with(stale("a", vec![kv("a", "2", 2, 3, 2)], 21, 25, 3), 1);
}

#[test]
fn planted_wrong_values_are_found() {
    check_with(sees("a", vec![kv("a", "2", 2, 2, 1)], 15, 35, 2), 1);
    check_with(sees("a", vec![kv("a", "1", 2, 2, 2)], 15, 35, 2), 1);
    check_with(get_at("b", 90, 99, 5), 1);
    check_with(stale("b", vec![], 90, 99, 5), 1);
}

#[test]
fn planted_lost_unsaid_and_doubled_writes_are_found() {
    check_with(put_at("c", "1", 90, 99, 6), 1);
    let mut unsaid = writers();
    unsaid.remove(1);
    check_calls(unsaid.clone(), story(), 1);
    unsaid.push(call(put_request("a", "2"), 30, 40, Outcome::Unknown));
    check_calls(unsaid.clone(), story(), 0);
    unsaid[3] = call(
        put_request("a", "2"),
        30,
        40,
        Outcome::Refused(Refusal::Other("full".into())),
    );
    check_calls(unsaid.clone(), story(), 1);
    unsaid[3] = call(put_request("a", "2"), 75, 90, Outcome::Unknown);
    check_calls(unsaid, story(), 1);
    check_with(put_at("b", "1", 70, 80, 5), 1);
}

#[test]
fn planted_writes_out_of_order_are_found() {
    let mut calls = writers();
    (calls[1].invoked_us, calls[1].returned_us) = (61, 65);
    check_calls(calls, story(), 1);
}

#[test]
fn planted_applied_twice_is_found() {
    let twice = vec![vec![put("a", "1", 2, 2, 1)], vec![put("a", "1", 2, 3, 2)]];
    check_calls(vec![put_at("a", "1", 10, 20, 2)], twice.clone(), 1);
    let unknown = || call(put_request("a", "1"), 10, 20, Outcome::Unknown);
    check_calls(vec![unknown()], twice.clone(), 1);
    check_calls(vec![unknown(), unknown()], twice, 0);
}

#[test]
fn unknown_calls_are_matched_even_if_the_first_choice_is_wrong() {
    // The wide delete explains both revisions, the narrow one only the first; taking them in order would fail.
    let changes = vec![
        vec![put("a", "1", 2, 2, 1)],
        vec![deleted("a", 3)],
        vec![put("b", "1", 4, 4, 1)],
        vec![deleted("b", 5)],
    ];
    let wide = Request::Delete {
        span: Span::all(),
        prev_kv: false,
    };
    let narrow = crate::checks::sample::delete_request("a");
    let calls = vec![
        put_at("a", "1", 10, 20, 2),
        call(wide, 21, 99, Outcome::Unknown),
        call(narrow, 22, 99, Outcome::Unknown),
        put_at("b", "1", 30, 40, 4),
    ];
    check_calls(calls.clone(), changes.clone(), 0);
    let mut alone = calls;
    alone.remove(2);
    check_calls(alone, changes, 1);
}

fn leased(key: &str, value: &str, revision: Revision) -> Event {
    Event::Put {
        kv: KeyValue {
            lease: 7,
            ..kv(key, value, revision, revision, 1)
        },
        prev: None,
    }
}

#[test]
fn the_end_of_a_lease_takes_all_its_keys_and_no_others() {
    let with_lease = |key: &str, at: u64, revision| {
        let request = Request::Put {
            key: key.into(),
            value: "1".into(),
            lease: 7,
            prev_kv: false,
        };
        done(request, at, at + 1, revision, Body::Put { prev: None })
    };
    let calls = vec![with_lease("a", 1, 2), with_lease("b", 3, 3)];
    let both = || vec![vec![leased("a", "1", 2)], vec![leased("b", "1", 3)]];
    let ended = |events: Vec<Event>| both().into_iter().chain([events]).collect::<Vec<_>>();
    check_calls(calls.clone(), ended(vec![deleted("a", 4), deleted("b", 4)]), 0);
    check_calls(calls.clone(), ended(vec![deleted("a", 4)]), 1);
    let revoke = done(Request::LeaseRevoke { lease: 7 }, 5, 6, 4, Body::Nothing);
    let revoked = [calls.clone(), vec![revoke]].concat();
    check_calls(revoked.clone(), ended(vec![deleted("a", 4), deleted("b", 4)]), 0);
    check_calls(revoked, ended(vec![deleted("a", 4)]), 2);
}

#[test]
fn a_lock_explains_what_it_wrote_on_the_way() {
    let key = || Text::from("l/7");
    let lock = |outcome| {
        let request = Request::Lock {
            name: "l".into(),
            lease: 7,
        };
        call(request, 1, 5, outcome)
    };
    let entered = || vec![vec![leased("l/7", "", 2)]];
    let held = Outcome::Done(crate::history::Answer {
        revision: 2,
        body: Body::Lock { key: key() },
    });
    check_calls(vec![lock(held.clone())], entered(), 0);
    let left = || vec![vec![leased("l/7", "", 2)], vec![deleted("l/7", 3)]];
    check_calls(vec![lock(Outcome::Unknown)], left(), 0);
    let unlock = done(Request::Unlock { key: key() }, 6, 7, 3, Body::Nothing);
    check_calls(vec![lock(held.clone()), unlock], left(), 0);
    check_calls(vec![lock(held)], vec![vec![put("x", "", 2, 2, 1)]], 2);
}

proptest::proptest! {
    #[test]
    fn the_slow_twin_agrees(small in twin::small_histories()) {
        let witness = Witness::of(small.changes.clone());
        let history = History { calls: small.calls.clone(), ..History::default() };
        let found = list(|findings| { check(&history, &witness, &Table::of(&witness), findings); });
        let slow = twin::is_linearizable(&small);
        proptest::prop_assert_eq!(found.is_empty(), slow, "{:#?}\n{:#?}", small, found);
    }
}
