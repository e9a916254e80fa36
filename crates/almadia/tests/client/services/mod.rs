//! The commands beyond keys as a user runs them, against members that are just enough of etcd.

mod access;
mod care;
mod leases;
mod locks;
mod streams;

use crate::fake::{Fake, almadia, outcome};

/// Standard output of a success.
#[track_caller]
fn done(member: &Fake, words: &[&str]) -> String {
    let output = almadia(&[&member.address], words);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let (text, code) = outcome(&output);
    assert_eq!((code, complaint.as_str()), (0, ""), "{words:?}: {text}");
    text
}

/// The one line of a failure, and its exit code.
#[track_caller]
fn refused(member: &Fake, words: &[&str]) -> (String, i32) {
    let output = almadia(&[&member.address], words);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(complaint.lines().count(), 1, "one line, not: {complaint}");
    (complaint, output.status.code().unwrap())
}

/// Output for programs.
#[track_caller]
fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
