//! `lock` and `elect`: held, passed on, and always given back.

use rustix::process::Signal;

use super::{json, refused};
use crate::fake::{Fake, Mood, Running};

fn lock(member: &Fake, words: &[&str]) -> Running {
    Running::start(&[&member.address], &[&["lock", "deploy"], words].concat())
}

/// Promise: one holds it until Ctrl-C, the next gets it then, and nothing is left behind.
#[test]
fn a_lock_is_passed_on() {
    let member = Fake::start(Mood::Serving);
    let mut first = lock(&member, &[]);
    assert_eq!(first.line(), "deploy/5b00\n");
    let (text, code) = refused(&member, &["lock", "deploy", "--wait", "50ms"]);
    assert!(code == 1 && text.contains("held by somebody else"), "{text}");
    let mut second = lock(&member, &["-o", "json"]);
    member.wait_until(|member| member.leases().len() == 2);
    assert_eq!(first.interrupt(), (String::new(), String::new(), 0));
    let held = json(&second.line());
    assert_eq!(
        held["key"].as_str().unwrap(),
        format!("deploy/{}", held["lease"].as_str().unwrap())
    );
    second.interrupt();
    assert_eq!(member.given_back(), (2, 0));
    assert!(member.leases().is_empty() && !member.has("deploy/"));
}

/// Promise: a command's exit code is passed on, and the lock is free whatever the command did.
#[test]
fn a_command_runs_while_it_is_held() {
    let member = Fake::start(Mood::Serving);
    let script = "echo \"$ETCD_LOCK_KEY $ETCD_LOCK_REV\"; exit 7";
    let (text, complaint, code) = lock(&member, &["--", "sh", "-c", script]).end();
    assert_eq!(
        (text.as_str(), complaint.as_str(), code),
        ("deploy/5b00 2\n", "", 7)
    );
    let (text, code) = refused(&member, &["lock", "deploy", "--", "/no/such/program"]);
    assert!(code == 1 && text.contains("/no/such/program"), "{text}");
    assert_eq!(member.given_back(), (2, 0));
    assert!(member.leases().is_empty() && !member.has("deploy/"));
}

/// Promise: a command that never ran is no success.
#[test]
fn who_gives_up_waiting_has_not_run_anything() {
    let member = Fake::start(Mood::Serving);
    let mut first = lock(&member, &[]);
    first.line();
    let second = lock(&member, &["--", "echo", "ran"]);
    member.wait_until(|member| member.leases().len() == 2);
    let (text, complaint, code) = second.interrupt();
    assert_eq!((text.as_str(), code), ("", 1));
    assert!(complaint.contains("the command was not run"), "{complaint}");
    // Its place in the queue is free as well.
    assert_eq!(member.leases().len(), 1);
    first.interrupt();
    assert!(!member.has("deploy/"));
}

/// Promise: a supervisor's wish reaches the command, which may end in its own way.
#[test]
fn a_command_is_asked_to_end() {
    let member = Fake::start(Mood::Serving);
    let script = "trap 'echo cleaned; exit 3' TERM; echo ready; while :; do sleep 0.01; done";
    let mut running = lock(&member, &["--", "sh", "-c", script]);
    assert_eq!(running.line(), "ready\n");
    running.signal(Signal::TERM);
    let (text, _, code) = running.end();
    assert_eq!((text.as_str(), code), ("cleaned\n", 3));
    assert!(!member.has("deploy/"));
}

/// Promise: who loses the lock is stopped: nobody works without it.
#[test]
fn a_command_ends_when_the_lock_is_lost() {
    let member = Fake::start(Mood::Serving);
    let mut running = lock(
        &member,
        &["--ttl", "2s", "--", "sh", "-c", "echo ready; exec sleep 600"],
    );
    assert_eq!(running.line(), "ready\n");
    member.end_lease(member.leases()[0]);
    let (_, complaint, code) = running.end();
    assert!(code == 1 && complaint.contains("the lock is lost"), "{complaint}");
}

/// Promise: who leads no more is told.
#[test]
fn a_leadership_that_is_lost_is_told() {
    let member = Fake::start(Mood::Serving);
    let words = ["elect", "boss", "ann", "--ttl", "2s"];
    let mut ann = Running::start(&[&member.address], &words);
    assert_eq!(ann.line(), "boss/5b00\tann\n");
    member.end_lease(0x5b00);
    let (_, complaint, code) = ann.end();
    assert!(
        code == 1 && complaint.contains("the leadership is lost"),
        "{complaint}"
    );
}

/// Promise: a candidate leads until Ctrl-C and then resigns; who listens sees each leader once.
#[test]
fn elections() {
    let member = Fake::start(Mood::Serving);
    let mut listening = Running::start(&[&member.address], &["elect", "boss", "--listen"]);
    let mut ann = Running::start(&[&member.address], &["elect", "boss", "ann"]);
    assert_eq!(ann.line(), "boss/5b00\tann\n");
    assert_eq!(listening.line(), "boss/5b00\tann\n");
    let mut bob = Running::start(&[&member.address], &["elect", "boss", "bob", "-o", "json"]);
    member.wait_until(|member| member.leases().len() == 2);
    assert_eq!(ann.interrupt(), (String::new(), String::new(), 0));
    assert_eq!(json(&bob.line())["value"], "bob");
    assert_eq!(listening.line(), "boss/5b01\tbob\n");
    bob.interrupt();
    assert_eq!(listening.interrupt(), (String::new(), String::new(), 0));
    assert_eq!(member.given_back(), (0, 2));
    assert!(member.leases().is_empty() && !member.has("boss/"));
    assert_eq!(refused_by_usage(&member), 2);
}

fn refused_by_usage(member: &Fake) -> i32 {
    let output = super::almadia(&[&member.address], &["elect", "boss"]);
    output.status.code().unwrap()
}
