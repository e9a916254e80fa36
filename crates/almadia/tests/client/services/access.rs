//! Users, roles, and who asks.

use std::io::Write;
use std::process::Stdio;

use super::{done, json, refused};
use crate::fake::{Fake, Mood, Running, command};

fn with_input(member: &Fake, words: &[&str], input: &str) -> String {
    let mut child = command(&[&member.address], words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn users() {
    let member = Fake::start(Mood::Serving);
    assert_eq!(
        with_input(&member, &["user", "add", "ann"], "red fox\n"),
        "user ann made\n"
    );
    assert_eq!(member.password("ann"), "red fox");
    done(&member, &["user", "add", "bob:with:colon"]);
    assert_eq!(member.password("bob"), "with:colon");
    done(&member, &["user", "add", "cert", "--no-password"]);
    assert_eq!(done(&member, &["user", "list"]), "ann\nbob\ncert\n");
    assert_eq!(
        with_input(&member, &["user", "passwd", "ann"], "blue\n"),
        "password of ann changed\n"
    );
    assert_eq!(member.password("ann"), "blue");
    done(&member, &["user", "grant-role", "ann", "reader"]);
    assert_eq!(done(&member, &["user", "get", "ann"]), "reader\n");
    assert_eq!(
        json(&done(&member, &["user", "get", "ann", "-o", "json"]))["roles"][0],
        "reader"
    );
    done(&member, &["user", "revoke-role", "ann", "reader"]);
    assert_eq!(done(&member, &["user", "get", "ann"]), "");
    done(&member, &["user", "delete", "ann"]);
    let (text, code) = refused(&member, &["user", "get", "ann"]);
    assert!(code == 1 && text.contains("user name not found"), "{text}");
    let (text, code) = refused(&member, &["user", "add", "dan"]);
    assert!(code == 2 && text.contains("password of dan is missing"), "{text}");
}

#[test]
fn roles() {
    let member = Fake::start(Mood::Serving);
    done(&member, &["role", "add", "r"]);
    assert_eq!(
        done(&member, &["role", "grant", "r", "read", "--prefix", "app/"]),
        "read of prefix app/ granted to role r\n"
    );
    done(&member, &["role", "grant-permission", "r", "READWRITE", "a", "c"]);
    assert_eq!(
        done(&member, &["role", "get", "r"]),
        "ACCESS     KEYS\nread       prefix app/\nreadwrite  from a on, before c\n"
    );
    done(&member, &["role", "revoke", "r", "--prefix", "app/"]);
    let role = json(&done(&member, &["role", "get", "r", "-o", "json"]));
    assert_eq!(role["permissions"].as_array().unwrap().len(), 1);
    assert_eq!(role["permissions"][0]["end"], "c");
    assert_eq!(done(&member, &["role", "list"]), "r\n");
    done(&member, &["role", "delete", "r"]);
    assert_eq!(refused(&member, &["role", "get", "r"]).1, 1);
}

#[test]
fn access_control_on_and_off() {
    let member = Fake::start(Mood::Serving);
    let (text, code) = refused(&member, &["auth", "enable"]);
    assert!(code == 1 && text.contains("root user does not exist"), "{text}");
    done(&member, &["user", "add", "root:pw"]);
    assert!(done(&member, &["auth", "enable"]).contains("access control is on"));
    assert_eq!(
        done(&member, &["auth", "status"]),
        "access control is off, revision 3 of users and roles\n"
    );
    member.require_login("root", "pw");
    assert_eq!(
        json(&done(&member, &["auth", "status", "-o", "json"]))["enabled"],
        true
    );
    done(&member, &["auth", "disable"]);
    assert_eq!(
        json(&done(&member, &["auth", "status", "-o", "json"]))["enabled"],
        false
    );
}

/// Promise: a user logs in once for a command, by flag or environment, and a password that is missing is no riddle.
#[test]
fn a_user_logs_in() {
    let member = Fake::start(Mood::Serving);
    member.put("a", "1");
    // Without access control a login is no use and does no harm.
    assert_eq!(done(&member, &["get", "a", "--user", "ann:pw"]), "1\n");
    member.require_login("ann", "pw");
    for words in [&["--user", "ann:pw"][..], &["--user", "ann", "--password", "pw"]] {
        assert_eq!(done(&member, &[&["get", "a"], words].concat()), "1\n");
    }
    let mut by_environment = command(&[&member.address], &["put", "a", "2"]);
    by_environment
        .env("ALMADIA_USER", "ann")
        .env("ALMADIA_PASSWORD", "pw");
    assert!(by_environment.output().unwrap().status.success());
    assert_eq!(member.logins(), 3);
    let (text, code) = refused(&member, &["get", "a"]);
    assert!(code == 1 && text.contains("log in with --user"), "{text}");
    let (text, code) = refused(&member, &["get", "a", "--user", "ann:wrong"]);
    assert!(
        code == 1 && text.contains("look at --user and --password"),
        "{text}"
    );
    assert_eq!(refused(&member, &["get", "a", "--password", "pw"]).1, 2);
    assert_eq!(done(&member, &["status", "--user", "ann:pw"]).lines().count(), 2);
    let (text, code) = refused(&member, &["status"]);
    assert!(code == 1 && text.contains("log in with --user"), "{text}");
}

/// Promise: a token that is no longer good is renewed, for a call and for a watch that has to be opened again.
#[test]
fn a_user_logs_in_again() {
    let member = Fake::start(Mood::Serving);
    member.require_login("ann", "pw");
    let words = ["watch", "a", "--rev", "1", "--user", "ann:pw"];
    let mut watch = Running::start(&[&member.address], &words);
    member.put("a", "1");
    assert_eq!(watch.line(), "2\tPUT\ta\t1\n");
    member.outdate_tokens();
    member.break_watch_after(0);
    member.put("a", "2");
    // The broken stream was the one before: this one is opened with the old token first.
    assert_eq!(watch.line(), "3\tPUT\ta\t2\n");
    watch.interrupt();
}

#[test]
fn a_password_needs_a_terminal_or_a_variable() {
    let member = Fake::start(Mood::Serving);
    // In a session of its own there is no terminal to ask on, wherever the test runs.
    let output = std::process::Command::new("setsid")
        .arg("--wait")
        .arg(env!("CARGO_BIN_EXE_almadia"))
        .args(["--endpoints", &member.address, "get", "a", "--user", "ann"])
        .env_remove("ALMADIA_PASSWORD")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("set ALMADIA_PASSWORD"), "{text}");
    assert_eq!(output.status.code(), Some(2));
}
