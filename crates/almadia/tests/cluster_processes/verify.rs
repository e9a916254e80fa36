//! M2 and M3: the acceptance suite and the client's check against three processes, line by line, and that they can fail.

use crate::deployment::{Deployment, PATIENCE, PROGRAM, almadia_at, succeeded};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FLAG: &str = "--enable-fault-injection";

/// The suite's output, letter by letter; `#` stands for a number.
const LINES: &str = "\
TestPrimerasPruebas/T1:soloArranqueYparada .....
..... TestPrimerasPruebas/T1:soloArranqueYparada Superado
TestPrimerasPruebas/T2:ElegirPrimerLider .....
Probando lider en curso
..... TestPrimerasPruebas/T2:ElegirPrimerLider Superado
TestPrimerasPruebas/T3:FalloAnteriorElegirNuevoLider .....
Lider: #, mandato: #
Lider: #, mandato: #
..... TestPrimerasPruebas/T3:FalloAnteriorElegirNuevoLider Superado
TestPrimerasPruebas/T4:tresOperacionesComprometidasEstable .....
..... TestPrimerasPruebas/T4:tresOperacionesComprometidasEstable Superado
TestAcuerdosConFallos/T5:AcuerdoAPesarDeDesconexionesDeSeguidor_ .....
Desconecto a: 0
BIEN: 1
BIEN: 2
Reconectando 0
BIEN: 0
BIEN: 1
BIEN: 2
..... TestAcuerdosConFallos/T5:AcuerdoAPesarDeDesconexionesDeSeguidor_ Superado
TestAcuerdosConFallos/T5:SinAcuerdoPorFallos_ .....
Desconecto a: 0
Desconecto a: 2
El nodo 1 no tiene todas las entradas comprometidas
Reconectando 0
Reconectando 2
BIEN: 0
BIEN: 1
BIEN: 2
..... TestAcuerdosConFallos/T5:SinAcuerdoPorFallos_ Superado
TestAcuerdosConFallos/T5:SometerConcurrentementeOperaciones_ .....
BIEN: 0
BIEN: 1
BIEN: 2
..... TestAcuerdosConFallos/T5:SometerConcurrentementeOperaciones_ Superado
superadas: 7, omitidas: 0, falladas: 0
PASS
";

/// Numbers of lines about leaders, which differ from run to run, as `#`.
fn without_numbers(text: &str) -> String {
    let line = |line: &str| match line.starts_with("Lider: ") {
        false => line.to_owned(),
        true => line
            .split(' ')
            .map(|word| match word.trim_end_matches(',').parse::<u64>() {
                Ok(_) if word.ends_with(',') => "#,",
                Ok(_) => "#",
                Err(_) => word,
            })
            .collect::<Vec<_>>()
            .join(" "),
    };
    text.lines().map(|each| line(each) + "\n").collect()
}

/// M2 (b): all seven against a running cluster, through one address; the suite's keys are gone afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes_line_by_line() {
    let mut deployment = Deployment::planned_with(3, &[FLAG]);
    deployment.cluster.start_all().unwrap();
    deployment.leader_above(0).await;
    let output = almadia_at(&deployment.urls[..1], &["verify"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
    assert_eq!(without_numbers(&text), LINES, "{}", deployment.last_words());
    succeeded(&output);
    let terms: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("Lider: ")?.rsplit(' ').next()?.parse().ok())
        .collect();
    assert!(terms.len() == 2 && terms[1] > terms[0], "{terms:?}");
    let left = succeeded(&deployment.almadia(&["get", "--prefix", "almadia-verify/"]));
    assert_eq!(left, "");
}

/// M2 (a): by itself, on three processes of its own, which it also stops cleanly.
#[test]
fn the_suite_starts_and_stops_members_of_its_own() {
    let place = tempfile::tempdir().unwrap();
    let output = Command::new(PROGRAM)
        .args([
            "verify", "--local", "--lang", "en", "--only", "T1", "--only", "T2",
        ])
        .env("TMPDIR", place.path())
        .output()
        .unwrap();
    let expected = "\
TestPrimerasPruebas/T1:soloArranqueYparada .....
..... TestPrimerasPruebas/T1:soloArranqueYparada Passed
TestPrimerasPruebas/T2:ElegirPrimerLider .....
Looking for the current leader
..... TestPrimerasPruebas/T2:ElegirPrimerLider Passed
passed: 2, left out: 0, failed: 0
PASS
";
    assert_eq!(succeeded(&output), expected);
    assert_eq!(
        std::fs::read_dir(place.path()).unwrap().count(),
        0,
        "data is left behind"
    );
}

/// `--disruptive` against members of its own: killed, parted, without a disk, scaled, with a full disk, while clients write.
#[test]
fn it_breaks_members_of_its_own_and_nothing_acknowledged_is_lost() {
    let place = tempfile::tempdir().unwrap();
    let output = Command::new(PROGRAM)
        .args(["verify", "--local", "--disruptive", "--lang", "en", "-o", "json"])
        .args(["--only", "TestPerturbaciones"])
        .env("TMPDIR", place.path())
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_str(&succeeded(&output)).unwrap();
    let tests = summary["tests"].as_array().unwrap();
    assert_eq!(tests.len(), 5, "{summary}");
    for test in tests {
        let reason = test["reason"].as_str().unwrap_or_default();
        // A machine may not let users mount anything.
        if test["result"] == "left out" && reason.contains("no small disk can be made here") {
            println!("SKIPPED: {}: {reason}", test["name"]);
            continue;
        }
        assert_eq!(test["result"], "passed", "{summary}");
        let last = test["lines"].as_array().unwrap().iter().rev().nth(1).unwrap();
        let acknowledged = last
            .as_str()
            .unwrap()
            .strip_prefix("Acknowledged writes: ")
            .unwrap();
        let (count, rest) = acknowledged.split_once(';').unwrap();
        assert!(
            count.parse::<u64>().unwrap() > 0 && rest.starts_with(" lost: 0;"),
            "{last}"
        );
    }
    assert_eq!(
        std::fs::read_dir(place.path()).unwrap().count(),
        0,
        "data is left behind"
    );
}

/// Where nobody says how to empty a disk or to change the size, that is left out with the name of the flag; commands are told
/// whom they are about, and what they broke is mended when the suite gives up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_cannot_break_is_left_out_and_what_it_broke_is_mended() {
    let (deployment, _) = Deployment::of_three().await;
    let place = tempfile::tempdir().unwrap();
    let told = place.path().join("told");
    let note = |word: &str| format!("echo {word} $MEMBER $ORDINAL >>{}", told.display());
    let output = deployment.almadia(&[
        "verify",
        "--disruptive",
        "--lang=en",
        "-o=json",
        "--only=P3",
        "--only=P4",
        "--only=P5",
        "--fill-command",
        &format!("{}; exit 3", note("fill")),
        "--free-command",
        &note("free"),
    ]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tests = summary["tests"].as_array().unwrap();
    for (test, flag) in tests.iter().zip(["--wipe-command", "--scale-command"]) {
        assert_eq!(test["result"], "left out", "{summary}");
        assert!(test["reason"].as_str().unwrap().contains(flag), "{summary}");
    }
    assert_eq!(tests[2]["result"], "failed", "{summary}");
    assert!(
        tests[2]["reason"].as_str().unwrap().contains("ended with code 3"),
        "{summary}"
    );
    let told = std::fs::read_to_string(&told).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    let [fill, free] = lines[..] else { panic!("{told}") };
    let member = fill.strip_prefix("fill ").unwrap();
    assert_eq!(free.strip_prefix("free "), Some(member), "{told}");
    let (name, ordinal) = member.split_once(' ').unwrap();
    assert_eq!(name, format!("almadia-{ordinal}"));
}

/// Ctrl-C while members are cut off: they are healed before it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_heals_what_it_cut() {
    use std::io::{BufRead, BufReader, Read};
    let mut deployment = Deployment::planned_with(3, &[FLAG]);
    deployment.cluster.start_all().unwrap();
    deployment.leader_above(0).await;
    let mut suite = Command::new(PROGRAM)
        .args([
            "verify",
            "--only",
            "SinAcuerdo",
            "--endpoints",
            &deployment.urls[1],
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(suite.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(
        lines.any(|line| line == "Desconecto a: 2"),
        "it did not get there"
    );
    let isolated = |count| {
        let text = succeeded(&almadia_at(
            &deployment.urls[1..2],
            &["fault", "status", "-o", "json"],
        ));
        let status: Value = serde_json::from_str(&text).unwrap();
        let members = status["members"].as_array().unwrap();
        let cut = members
            .iter()
            .filter(|member| member["cut_off_from"] == "all")
            .count();
        (cut == count).then_some(()).ok_or(text)
    };
    let deadline = Instant::now() + PATIENCE;
    while let Err(status) = isolated(2) {
        assert!(Instant::now() < deadline, "{status}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let sent = Command::new("kill")
        .args(["-INT", &suite.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let mut complaint = String::new();
    suite
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut complaint)
        .unwrap();
    assert!(!suite.wait().unwrap().success());
    assert!(complaint.contains("interrupted"), "{complaint}");
    assert_eq!(lines.last().as_deref(), Some("FAIL"));
    isolated(0).unwrap();
    deployment.caught_up().await;
}

/// Members that allow no exercises: what disturbs is left out, which is said; the rest passes. This is `helm test` by default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_exercises_the_disturbing_parts_are_left_out() {
    let (deployment, leader) = Deployment::of_three().await;
    let output = deployment.almadia(&["verify", "-o", "json"]);
    let summary: Value = serde_json::from_str(&succeeded(&output)).unwrap();
    let results: Vec<&str> = summary["tests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|test| test["result"].as_str().unwrap())
        .collect();
    let expected = [
        "passed", "passed", "left out", "passed", "left out", "left out", "passed",
    ];
    assert_eq!(results, expected, "{summary}");
    assert!(
        summary["tests"][2]["reason"].as_str().unwrap().contains(FLAG),
        "{summary}"
    );
    let progress = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        progress.contains("OMITIDA") && progress.ends_with("PASS\n"),
        "{progress}"
    );
    assert_eq!(deployment.leader_above(0).await, leader, "nobody was disturbed");
}

/// It can fail: a member that does not answer, also where the test would cut members off; and a test that nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_down_fails_it() {
    let (mut deployment, leader) = Deployment::of_three().await;
    let dead = (leader.ordinal + 1) % 3;
    deployment.cluster.kill(&[dead]);
    let alive = &deployment.urls[leader.ordinal..=leader.ordinal];
    let output = almadia_at(alive, &["verify", "--only", "T1"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.ends_with("FAIL\n") && !text.contains("Superado") && text.contains("FALLO"),
        "{text}"
    );
    let cutting = almadia_at(alive, &["verify", "--only", "T3", "--lang", "en"]);
    let text = String::from_utf8_lossy(&cutting.stdout).into_owned();
    assert!(
        text.contains("T3:FalloAnteriorElegirNuevoLider LEFT OUT"),
        "{text}"
    );
    assert!(text.contains(FLAG) && text.ends_with("FAIL\n"), "{text}");
    let nobody = almadia_at(&deployment.urls[dead..=dead], &["verify", "--timeout", "2s"]);
    assert_ne!(nobody.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&nobody.stdout), "FAIL\n");
    let unknown = almadia_at(alive, &["verify", "--only", "T9"]);
    assert_eq!(unknown.status.code(), Some(2));
}

/// M3: the client's check through one address, right after the leader was killed: under 5 s, letter by letter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_ends_in_time_right_after_a_leader_was_killed() {
    let (mut deployment, leader) = Deployment::of_three().await;
    let follower = (leader.ordinal + 1) % 3;
    let one = deployment.urls[follower..=follower].to_vec();
    deployment.cluster.kill(&[leader.ordinal]);
    let began = Instant::now();
    let output = almadia_at(&one, &["check", "--lang", "es"]);
    let took = began.elapsed();
    let text = succeeded(&output);
    println!("{took:?}\n{text}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let now = deployment.leader_above(leader.term).await;
    let written = |line: &str| {
        let numbers = line.strip_prefix("-> Escritura OK: idx=").unwrap();
        let (index, rest) = numbers.split_once(", mandato=").unwrap();
        let (term, leader) = rest.split_once(", lider=").unwrap();
        assert_eq!(leader, now.ordinal.to_string(), "{line}");
        (index.parse::<u64>().unwrap(), term.parse::<u64>().unwrap())
    };
    let lines: Vec<&str> = text.lines().collect();
    let read = |value: &str| format!("-> Lectura OK: '{value}' == '{value}' (Esperado)");
    assert_eq!(lines.len(), 11, "{text}");
    assert_eq!(lines[0], "--- INICIO DE PRUEBAS DE CLIENTE ---");
    for number in 1..=3 {
        assert_eq!(lines[2 * number], read(&format!("valor_inicial_{number}")));
    }
    assert_eq!(lines[7], "PRUEBA DE SOBRESCRITURA");
    assert_eq!(lines[9], read("VALOR_ACTUALIZADO"));
    assert_eq!(lines[10], "--- TODAS LAS PRUEBAS COMPLETADAS CON ÉXITO ---");
    let places: Vec<(u64, u64)> = [1, 3, 5, 8].map(|at| written(lines[at])).to_vec();
    assert!(places.windows(2).all(|pair| pair[0].0 < pair[1].0), "{places:?}");
    assert!(places.iter().all(|(_, term)| *term > leader.term), "{places:?}");
}
