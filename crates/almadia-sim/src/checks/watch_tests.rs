//! Right watchers pass, and for each of the nine promises a watcher that breaks it is found.

use super::*;
use crate::checks::sample::{compact_at, deleted, kv, list, put, response, watcher};
use crate::history::{Span, WatchRequest};

/// a: put at 2, put at 3 (with b created), deleted at 4, put at 5; c: put at 6.
fn story() -> Witness {
    Witness::of(vec![
        vec![put("a", "1", 2, 2, 1)],
        vec![put("a", "2", 2, 3, 2), put("b", "1", 3, 3, 1)],
        vec![deleted("a", 4)],
        vec![put("a", "3", 5, 5, 1)],
        vec![put("c", "1", 6, 6, 1)],
    ])
}

fn at(revision: Revision) -> Vec<Event> {
    story().at(revision).unwrap().to_vec()
}

fn events(events: Vec<Event>) -> Report {
    Report::Events {
        events,
        fragment: false,
    }
}

fn of_all(start: Revision) -> WatchRequest {
    WatchRequest::of(Span::all(), start)
}

/// The broken promises, once each.
#[track_caller]
fn check_watch(request: WatchRequest, reports: Vec<Report>, expected: &[Promise]) {
    check_with(History::default(), request, reports, expected);
}

#[track_caller]
fn check_with(mut history: History, request: WatchRequest, reports: Vec<Report>, expected: &[Promise]) {
    let revision = |report: &Report| if matches!(report, Report::Progress) { 5 } else { 6 };
    let responses = reports
        .into_iter()
        .map(|report| response(9, revision(&report), report));
    history.watches.push(watcher(request, responses.collect()));
    let witness = story();
    let table = Table::of(&witness);
    let mut found: Vec<Promise> = list(|findings| check(&history, &witness, &table, findings))
        .iter()
        .map(|finding| finding.promise)
        .collect();
    found.dedup();
    assert_eq!(found, expected);
}

#[test]
fn right_watchers_pass() {
    let whole: Vec<Event> = (2..=6).flat_map(at).collect();
    check_watch(of_all(1), vec![Report::Created, events(whole)], &[]);
    check_watch(
        of_all(4),
        vec![events(at(4)), events(at(5)), Report::Progress, events(at(6))],
        &[],
    );
    check_watch(
        WatchRequest::of(Span::one("c"), 2),
        vec![Report::Progress, events(at(6))],
        &[],
    );
    check_watch(of_all(7), vec![Report::Created], &[]);
    check_watch(of_all(0), vec![], &[]);
    let no_put = WatchRequest {
        no_put: true,
        ..of_all(2)
    };
    check_watch(no_put, vec![events(at(4))], &[]);
    let mut halves = at(3);
    let second = halves.split_off(1);
    let first = Report::Events {
        events: halves,
        fragment: true,
    };
    let fragment = WatchRequest {
        fragment: true,
        ..of_all(3)
    };
    check_watch(fragment.clone(), vec![first.clone(), events(second)], &[]);
    check_watch(fragment, vec![first], &[]);
}

#[test]
fn from_now_begins_behind_the_answer() {
    let now = |created| {
        let mut history = History::default();
        let responses = vec![
            response(1, created, Report::Created),
            response(2, 6, events(at(6))),
        ];
        history.watches.push(watcher(of_all(0), responses));
        list(|findings| check(&history, &story(), &Table::of(&story()), findings)).len()
    };
    assert_eq!(now(5), 0);
    assert_eq!(now(6), 3, "planted: filter, resumable, reliable");
    assert_eq!(now(4), 1, "planted: resumable");
}

#[test]
fn planted_filter() {
    let only_b = WatchRequest::of(Span::one("b"), 2);
    let report = events(at(3));
    check_watch(
        only_b,
        vec![report],
        &[
            Promise::WatchFilter,
            Promise::WatchResumable,
            Promise::WatchReliable,
        ],
    );
}

#[test]
fn planted_order() {
    let reports = vec![events(at(5)), events(at(4))];
    let expected = [
        Promise::WatchOrdered,
        Promise::WatchResumable,
        Promise::WatchReliable,
    ];
    check_watch(of_all(4), reports, &expected);
}

#[test]
fn planted_twice() {
    let reports = vec![events(at(4)), events(at(5)), events(at(5))];
    check_watch(
        of_all(4),
        reports,
        &[Promise::WatchUnique, Promise::WatchAtomic, Promise::WatchReliable],
    );
}

#[test]
fn planted_split_revision() {
    let mut first = at(3);
    let second = first.split_off(1);
    check_watch(
        of_all(3),
        vec![events(first), events(second)],
        &[Promise::WatchAtomic],
    );
}

#[test]
fn planted_progress_ahead_of_events() {
    let reports = vec![events(at(4)), Report::Progress, events(at(5))];
    check_watch(of_all(4), reports, &[Promise::WatchBookmarkable]);
}

#[test]
fn planted_late_beginning() {
    check_watch(of_all(3), vec![events(at(4))], &[Promise::WatchResumable]);
}

#[test]
fn planted_gap() {
    check_watch(
        of_all(3),
        vec![events(at(3)), events(at(5))],
        &[Promise::WatchReliable],
    );
    let half = vec![at(3).remove(0)];
    check_watch(of_all(3), vec![events(half)], &[Promise::WatchReliable]);
}

#[test]
fn planted_is_create() {
    let wrong = vec![put("a", "2", 3, 3, 1), put("b", "1", 3, 3, 1)];
    let expected = [
        Promise::WatchResumable,
        Promise::WatchReliable,
        Promise::WatchIsCreate,
    ];
    check_watch(of_all(3), vec![events(wrong)], &expected);
}

#[test]
fn values_before_are_those_before() {
    let with_prev = |prev: Option<KeyValue>| {
        vec![events(vec![Event::Delete {
            key: "a".into(),
            mod_revision: 4,
            prev,
        }])]
    };
    let wanted = WatchRequest {
        prev_kv: true,
        ..of_all(4)
    };
    let right = Some(kv("a", "2", 2, 3, 2));
    check_watch(wanted.clone(), with_prev(right.clone()), &[]);
    check_watch(of_all(4), with_prev(right), &[Promise::WatchPrevKv]);
    check_watch(
        wanted.clone(),
        with_prev(Some(kv("a", "1", 2, 2, 1))),
        &[Promise::WatchPrevKv],
    );
    check_watch(wanted.clone(), with_prev(None), &[Promise::WatchPrevKv]);
    let compacted = |revision| History {
        calls: vec![compact_at(revision, 1, 2, 6)],
        ..History::default()
    };
    check_with(compacted(4), wanted.clone(), with_prev(None), &[]);
    check_with(compacted(3), wanted, with_prev(None), &[Promise::WatchPrevKv]);
}
