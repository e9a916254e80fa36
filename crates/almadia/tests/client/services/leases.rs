//! `lease`: made, renewed, looked at, ended.

use super::{almadia, done, json, outcome, refused};
use crate::fake::{Fake, Mood, Running};

#[test]
fn a_lease_from_beginning_to_end() {
    let member = Fake::start(Mood::Serving);
    assert_eq!(done(&member, &["lease", "grant", "1m", "--id", "5b"]), "5b\n");
    assert_eq!(done(&member, &["lease", "list"]), "5b\n");
    assert_eq!(done(&member, &["lease", "ttl", "5b"]), "59 of 60 seconds left\n");
    assert_eq!(
        done(&member, &["lease", "keep-alive", "5b", "--once"]),
        "lease 5b renewed for 60 seconds\n"
    );
    assert_eq!(member.renewals(0x5b), 1);
    assert_eq!(done(&member, &["lease", "revoke", "0x5b"]), "lease 5b revoked\n");
    for words in [
        &["lease", "ttl", "5b"][..],
        &["lease", "keep-alive", "5b", "--once"],
        &["lease", "keep-alive", "5b"],
    ] {
        let (text, code) = refused(&member, words);
        assert!(code == 4 && text.contains("there is no lease 5b"), "{text}");
    }
    let (text, code) = refused(&member, &["lease", "revoke", "5b"]);
    assert!(code == 1 && text.contains("requested lease not found"), "{text}");
}

/// Promise: the id alone stands on standard output; that the lease lives longer than asked is told beside it.
#[test]
fn a_lifetime_that_was_raised_is_told() {
    let member = Fake::start(Mood::Serving);
    let output = almadia(&[&member.address], &["lease", "grant", "1"]);
    let id = outcome(&output).0;
    assert_eq!((id.trim(), output.status.code()), ("5b00", Some(0)));
    assert!(String::from_utf8_lossy(&output.stderr).contains("lives 2 seconds"));
    let granted = json(&done(&member, &["lease", "grant", "60", "-o", "json"]));
    assert_eq!((&granted["id"], &granted["ttl"]), (&"5b01".into(), &60.into()));
}

/// Promise: a lease is kept alive over members that go away, until it is gone or Ctrl-C.
#[test]
fn it_is_kept_alive() {
    let mut first = Fake::start(Mood::Serving);
    let second = first.beside();
    done(&first, &["lease", "grant", "6", "--id", "5b"]);
    done(&first, &["lease", "grant", "6", "--id", "5c"]);
    let endpoints = [first.address.clone(), second.address.clone()];
    let endpoints = [endpoints[0].as_str(), endpoints[1].as_str()];
    let mut keeping = Running::start(&endpoints, &["lease", "keep-alive", "5b", "-o", "json"]);
    let mut other = Running::start(&endpoints, &["lease", "keep-alive", "5c"]);
    assert_eq!(json(&keeping.line())["ttl"], 6);
    assert_eq!(other.line(), "lease 5c renewed for 6 seconds\n");
    first.stop();
    let before = second.renewals(0x5b);
    keeping.line();
    assert!(second.renewals(0x5b) > before);
    let (_, complaint, code) = keeping.interrupt();
    assert_eq!((complaint.as_str(), code), ("", 0));
    assert_eq!(second.leases(), [0x5b, 0x5c]);
    second.end_lease(0x5c);
    let (_, complaint, code) = other.end();
    assert!(
        code == 4 && complaint.contains("there is no lease 5c"),
        "{complaint}"
    );
}
