//! `watch` and `get --stream`: what comes is printed once, in order, at once, whatever happens to members.

use super::{done, json, refused};
use crate::fake::{Fake, Mood, Running};

/// Promise: changes are printed as they come, and Ctrl-C is a good end.
#[test]
fn changes_are_printed_as_they_come() {
    let member = Fake::start(Mood::Serving);
    member.put("app/a", "old");
    let mut watch = Running::start(
        &[&member.address],
        &["watch", "--prefix", "app/", "--prev-kv", "--rev", "2"],
    );
    assert_eq!(watch.line(), "2\tPUT\tapp/a\told\n");
    member.put("app/a", "new");
    assert_eq!(watch.line(), "3\tPUT\tapp/a\tnew\n");
    assert_eq!(watch.line(), "before: app/a\told\n");
    member.put("other", "x");
    member.delete("app/a");
    assert_eq!(watch.line(), "5\tDELETE\tapp/a\n");
    assert_eq!(watch.line(), "before: app/a\tnew\n");
    assert_eq!(watch.interrupt(), (String::new(), String::new(), 0));
}

#[test]
fn filters_limits_and_json() {
    let member = Fake::start(Mood::Serving);
    member.put("a", "1");
    member.delete("a");
    member.put("a", "2");
    let words = [
        "watch", "a", "--rev", "2", "--filter", "noput", "--limit", "1", "-o", "json",
    ];
    let event = json(&done(&member, &words));
    assert_eq!(
        (&event["type"], &event["revision"]),
        (&"delete".into(), &3.into())
    );
    let lines = done(
        &member,
        &["watch", "a", "--rev", "2", "--limit", "3", "-o", "json"],
    );
    assert_eq!(lines.lines().map(json).count(), 3);
    assert_eq!(
        done(
            &member,
            &["watch", "a", "--rev", "2", "--filter", "nodelete", "--limit", "2"]
        ),
        "2\tPUT\ta\t1\n4\tPUT\ta\t2\n"
    );
}

#[test]
fn progress_is_shown_to_who_asks() {
    let member = Fake::start(Mood::Serving);
    member.put("other", "1");
    let mut watch = Running::start(&[&member.address], &["watch", "a", "--progress-notify"]);
    assert_eq!(watch.line(), "2\tPROGRESS\n");
    let words = ["watch", "a", "--progress-notify", "-o", "json"];
    let mut programs = Running::start(&[&member.address], &words);
    assert_eq!(json(&programs.line())["type"], "progress");
    member.put("a", "1");
    assert_eq!(watch.line(), "3\tPUT\ta\t1\n");
    assert_eq!(json(&programs.line())["revision"], 3);
}

/// Promise: when a member goes away another one goes on where it left off: nothing twice, nothing left out.
#[test]
fn another_member_goes_on() {
    let mut first = Fake::start(Mood::Serving);
    let second = first.beside();
    let mut watch = Running::start(
        &[&first.address, &second.address],
        &["watch", "--prefix", "k", "--rev", "1"],
    );
    first.put("k1", "1");
    assert_eq!(watch.line(), "2\tPUT\tk1\t1\n");
    first.stop();
    second.put("k2", "2");
    assert_eq!(watch.line(), "3\tPUT\tk2\t2\n");
    second.break_watch_after(0);
    second.put("k3", "3");
    assert_eq!(watch.line(), "4\tPUT\tk3\t3\n");
    let (rest, told, code) = watch.interrupt();
    assert_eq!((rest.as_str(), code), ("", 0));
    assert!(told.contains("will go on where it left off"), "{told}");
}

/// Promise: a stream that breaks in the middle of history is taken up after the last change that was printed.
#[test]
fn history_is_taken_up_again() {
    let member = Fake::start(Mood::Serving);
    for number in 0..20 {
        member.put("k", &number.to_string());
    }
    member.break_watch_after(7);
    let output = super::almadia(&[&member.address], &["watch", "k", "--rev", "2", "--limit", "20"]);
    let (text, code) = super::outcome(&output);
    let expected: String = (0..20)
        .map(|number| format!("{}\tPUT\tk\t{number}\n", number + 2))
        .collect();
    assert_eq!((text, code), (expected, 0));
}

#[test]
fn history_that_is_gone_is_told() {
    let member = Fake::start(Mood::Serving);
    member.put("a", "1");
    member.compact(5);
    let (text, code) = refused(&member, &["watch", "a", "--rev", "2"]);
    assert!(
        code == 1 && text.contains("compacted up to 5") && text.contains("--rev 5"),
        "{text}"
    );
    let leaderless = Fake::start(Mood::NoLeader);
    let (text, code) = refused(&leaderless, &["watch", "a", "--timeout", "1s"]);
    assert!(code == 3 && text.contains("no leader"), "{text}");
    assert_eq!(refused(&member, &["watch", "b", "a"]).1, 2);
}

/// Promise: a stream of keys prints what a range prints, with and without RangeStream on the other side.
#[test]
fn keys_are_streamed() {
    let member = Fake::start(Mood::Serving);
    // More than a page.
    for number in 0..2500 {
        member.put(&format!("k{number:04}"), "v");
    }
    let all = done(&member, &["get", "--prefix", "k"]);
    assert_eq!(all.lines().count(), 2500);
    assert_eq!(done(&member, &["get", "--prefix", "k", "--stream"]), all);
    let some = done(&member, &["get", "--prefix", "k", "--limit", "1500"]);
    assert_eq!(
        done(&member, &["get", "--prefix", "k", "--limit", "1500", "--stream"]),
        some
    );
    member.stream_ranges();
    assert_eq!(done(&member, &["get", "--prefix", "k", "--stream"]), all);
    let lines = done(
        &member,
        &["get", "--prefix", "k", "--stream", "--limit", "3", "-o", "json"],
    );
    assert_eq!(
        lines
            .lines()
            .map(|line| json(line)["value"].clone())
            .collect::<Vec<_>>(),
        ["v"; 3]
    );
    assert_eq!(done(&member, &["get", "k0001", "--stream"]), "v\n");
}
