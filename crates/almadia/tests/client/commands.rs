//! The program's commands as a user runs them, against members that are just enough of etcd.

use crate::fake::{Fake, Mood, almadia, nobody, outcome};

/// One line on standard error, and the exit code.
fn complaint(endpoints: &[&str], words: &[&str]) -> (String, i32) {
    let output = almadia(endpoints, words);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.lines().count(), 1, "one line, not: {text}");
    (text, output.status.code().unwrap())
}

#[test]
fn write_read_delete() {
    let member = Fake::start(Mood::Serving);
    let run = |words: &[&str]| outcome(&almadia(&[&member.address], words));
    assert_eq!(
        run(&["put", "color", "red"]),
        (
            "OK: revision 2, log index 17, term 94, leader almadia-1\n".to_owned(),
            0
        )
    );
    assert_eq!(run(&["get", "color"]), ("red\n".to_owned(), 0));
    assert_eq!(run(&["get", "--prefix", "", "--count"]), ("1\n".to_owned(), 0));
    assert!(
        run(&["put", "color", "blue", "--prev"])
            .0
            .ends_with("before: color\tred\n")
    );
    let (json, _) = run(&["get", "color", "-o", "json"]);
    assert!(
        json.contains(r#""key":"color""#) && json.contains(r#""value":"blue""#),
        "{json}"
    );
    assert_eq!(run(&["del", "color"]), ("1\n".to_owned(), 0));
    let (text, code) = complaint(&[&member.address], &["get", "color"]);
    assert!(code == 4 && text.contains("there is no key 'color'"), "{text}");
}

/// Promise: the check's lines, letter by letter, with the ordinal of the leader's pod (M3).
#[test]
fn check_prints_the_fixed_lines() {
    let member = Fake::start(Mood::Serving);
    let (text, code) = outcome(&almadia(&[&member.address], &["check", "--lang", "es"]));
    let expected = "\
--- INICIO DE PRUEBAS DE CLIENTE ---
-> Escritura OK: idx=17, mandato=94, lider=1
-> Lectura OK: 'valor_inicial_1' == 'valor_inicial_1' (Esperado)
-> Escritura OK: idx=18, mandato=94, lider=1
-> Lectura OK: 'valor_inicial_2' == 'valor_inicial_2' (Esperado)
-> Escritura OK: idx=19, mandato=94, lider=1
-> Lectura OK: 'valor_inicial_3' == 'valor_inicial_3' (Esperado)
PRUEBA DE SOBRESCRITURA
-> Escritura OK: idx=20, mandato=94, lider=1
-> Lectura OK: 'VALOR_ACTUALIZADO' == 'VALOR_ACTUALIZADO' (Esperado)
--- TODAS LAS PRUEBAS COMPLETADAS CON ÉXITO ---
";
    assert_eq!((text.as_str(), code), (expected, 0));
}

#[test]
fn a_failed_check_shows_no_success() {
    let (text, code) = outcome(&almadia(
        &[&nobody()],
        &["check", "--lang", "es", "--timeout", "300ms"],
    ));
    assert!(
        code != 0 && text.contains("ERROR") && !text.contains("ÉXITO"),
        "{text}"
    );
}

/// Promise: members that are down or without a leader are passed over, for writes as well.
#[test]
fn the_next_member_is_asked() {
    let (down, leaderless) = (nobody(), Fake::start(Mood::NoLeader));
    let serving = Fake::start(Mood::Serving);
    let endpoints = [
        down.as_str(),
        leaderless.address.as_str(),
        serving.address.as_str(),
    ];
    assert_eq!(outcome(&almadia(&endpoints, &["put", "a", "1"])).1, 0);
    assert_eq!(
        outcome(&almadia(&endpoints, &["get", "a"])),
        ("1\n".to_owned(), 0)
    );
    assert_eq!((leaderless.puts(), serving.puts()), (0, 1));
}

/// Promise: a write whose fate is unknown is never repeated, and the user is told.
#[test]
fn an_unknown_fate_is_told_and_not_repeated() {
    let (forgetful, serving) = (Fake::start(Mood::Forgetful), Fake::start(Mood::Serving));
    let (text, code) = complaint(&[&forgetful.address, &serving.address], &["put", "a", "1"]);
    assert!(code == 5 && text.contains("unknown"), "{text}");
    assert_eq!((forgetful.puts(), serving.puts()), (1, 0));
}

#[test]
fn complaints_are_one_line_with_an_exit_code() {
    let (text, code) = complaint(&[&nobody()], &["get", "a", "--timeout", "200ms"]);
    assert!(
        code == 3 && text.contains("cannot reach the cluster") && text.contains("--endpoints"),
        "{text}"
    );
    let leaderless = Fake::start(Mood::NoLeader);
    let (text, code) = complaint(&[&leaderless.address], &["put", "a", "1", "--timeout", "2s"]);
    assert!(
        code == 3 && text.contains("no leader") && text.contains("nothing was changed"),
        "{text}"
    );
    let serving = Fake::start(Mood::Serving);
    let (text, code) = complaint(&[&serving.address], &["compact", "99"]);
    assert!(code == 1 && text.contains("future revision"), "{text}");
    for words in [
        &["get", "b", "a"][..],
        &["del", "--prefix", ""],
        &["get", "a", "--endpoints", "x"],
    ] {
        let (text, code) = complaint(&[], words);
        assert_eq!(code, 2, "{text}");
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let (script, code) = outcome(&almadia(&["127.0.0.1:1"], &["completions", shell]));
        assert!(
            code == 0 && script.contains("members") && script.contains("failover"),
            "{shell}"
        );
    }
}
