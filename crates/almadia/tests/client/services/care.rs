//! Members, alarms, hashes, snapshots.

use super::{done, json, refused};
use crate::fake::{Fake, Mood, almadia, nobody, outcome};

#[test]
fn members_come_and_go() {
    let member = Fake::start(Mood::Serving);
    let words = [
        "member",
        "add",
        "almadia-2",
        "--peer-urls",
        "http://p2:2380",
        "--learner",
    ];
    assert_eq!(
        done(&member, &words),
        "member add is admitted as a learner; start it with an empty data directory:\n  almadia server --name almadia-2 \
         --initial-cluster-state existing --initial-cluster almadia-1=http://p1:2380,almadia-2=http://p2:2380\n"
    );
    done(&member, &["member", "promote", "add"]);
    done(
        &member,
        &[
            "member",
            "update",
            "almadia-1",
            "--peer-urls",
            "http://x:1,http://y:1",
        ],
    );
    done(&member, &["member", "remove", "0xadd"]);
    assert_eq!(
        member.acts(),
        ["promote add", "update 2 http://x:1,http://y:1", "remove add"]
    );
    assert_eq!(done(&member, &["member", "list"]), done(&member, &["members"]));
    let (text, code) = refused(&member, &["member", "remove", "almadia-9"]);
    assert!(
        code == 2 && text.contains("there is no member 'almadia-9'"),
        "{text}"
    );
}

/// Promise: the leader is found and asked; who leads already is left alone.
#[test]
fn another_member_leads() {
    let member = Fake::start(Mood::Serving);
    assert_eq!(done(&member, &["move-leader", "almadia-1"]), "almadia-1 leads\n");
    assert!(member.acts().is_empty());
    done(
        &member,
        &["member", "add", "almadia-2", "--peer-urls", "http://p2:2380"],
    );
    done(&member, &["move-leader", "add"]);
    assert_eq!(member.acts(), ["lead add"]);
}

#[test]
fn alarms_are_shown_and_cleared() {
    let member = Fake::start(Mood::Serving);
    assert_eq!(done(&member, &["alarm", "list"]), "no alarms\n");
    assert!(done(&member, &["health"]).contains("  yes  "));
    member.raise_alarm();
    assert_eq!(
        done(&member, &["alarm", "list"]),
        "ALARM    MEMBER  NAME\nNOSPACE  2       almadia-1\n"
    );
    let (text, code) = outcome(&almadia(&[&member.address], &["health"]));
    assert!(code == 1 && text.contains("alarm NOSPACE of member 2"), "{text}");
    assert!(done(&member, &["alarm", "disarm"]).starts_with("cleared:\n"));
    assert_eq!(
        json(&done(&member, &["alarm", "list", "-o", "json"]))["raised"],
        json("[]")
    );
}

#[test]
fn health_of_each() {
    let (well, leaderless) = (Fake::start(Mood::Serving), Fake::start(Mood::NoLeader));
    let (text, code) = outcome(&almadia(
        &[&well.address, &leaderless.address, &nobody()],
        &["health", "-o", "json"],
    ));
    let health = json(&text);
    assert_eq!((code, &health["healthy"]), (1, &false.into()));
    let healthy: Vec<_> = (0..3)
        .map(|at| health["members"][at]["healthy"].as_bool().unwrap())
        .collect();
    assert_eq!(healthy, [true, false, false]);
    assert_eq!(refused(&leaderless, &["health", "--timeout", "300ms"]).1, 3);
}

#[test]
fn hashes_defragmentation_and_downgrades() {
    let member = Fake::start(Mood::Serving);
    let address = member.address.as_str();
    let (text, code) = outcome(&almadia(&[address, address], &["hashkv", "--rev", "7"]));
    assert!(
        code == 0 && text.ends_with("SAME\n") && text.contains("000000ab  7"),
        "{text}"
    );
    member.differ_in_hashes();
    let (text, code) = outcome(&almadia(&[address, address], &["hashkv", "--rev", "7"]));
    assert!(code == 1 && text.ends_with("DIFFERENT\n"), "{text}");
    assert!(done(&member, &["defrag", "--cluster"]).contains(": done in "));
    assert_eq!(
        done(&member, &["downgrade", "validate", "3.4"]),
        "downgrade to 3.4 possible; the cluster's version is 3.5.0\n"
    );
    done(&member, &["downgrade", "enable", "3.4"]);
    done(&member, &["downgrade", "cancel"]);
    assert_eq!(
        member.acts(),
        ["defragment", "downgrade 0 3.4", "downgrade 1 3.4", "downgrade 2 "]
    );
}

/// Promise: a file has its name only when all of it is there and is what was sent; what was there before stays otherwise.
#[test]
fn snapshots_are_whole_or_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup.db");
    let path = file.to_str().unwrap();
    let member = Fake::start(Mood::Serving);
    let content: Vec<u8> = (0..2500_u32).map(|number| number as u8).collect();
    member.hold_snapshot(&content, true);
    let saved = json(&done(&member, &["snapshot", "save", path, "-o", "json"]));
    assert_eq!(saved["bytes"], 2532);
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!((bytes.len(), &bytes[..2500]), (2532, &content[..]));
    member.hold_snapshot(&content, false);
    let (text, code) = refused(&member, &["snapshot", "save", path]);
    assert!(code == 1 && text.contains("broke off"), "{text}");
    member.hold_rotten_snapshot(&content);
    let (text, code) = refused(&member, &["snapshot", "save", path]);
    assert!(code == 1 && text.contains("SHA-256 does not match"), "{text}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    let names: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["backup.db"]);
}
