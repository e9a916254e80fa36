//! A data directory that cannot be used is refused with one clear line, before anything in it is changed.

use crate::deployment::{Deployment, refused};

/// The file that says whose directory it is, and where in it the format's version stands.
const IDENT: &str = "IDENT";
const VERSION_AT: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_in_use_is_refused() {
    let (deployment, _) = Deployment::of_three().await;
    let mut command = deployment.cluster.command(0);
    // Everything else is free, so that only the directory can be the reason.
    command.args([
        "--listen-client-urls",
        "http://127.0.0.1:0",
        "--listen-peer-urls",
        "http://127.0.0.1:0",
    ]);
    let line = refused(command).await;
    let directory = deployment.cluster.members()[0].data_dir.display().to_string();
    assert!(line.contains(&directory) && line.contains("process"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_format_is_refused() {
    let (mut deployment, _) = Deployment::of_three().await;
    deployment.cluster.kill(&[0]);
    let path = deployment.cluster.members()[0].data_dir.join(IDENT);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[VERSION_AT] += 1;
    std::fs::write(&path, &bytes).unwrap();
    let line = refused(deployment.cluster.command(0)).await;
    assert!(line.contains("newer"), "{line}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_identity_is_refused() {
    let (mut deployment, _) = Deployment::of_three().await;
    deployment.cluster.kill(&[0]);
    std::fs::remove_file(deployment.cluster.members()[0].data_dir.join(IDENT)).unwrap();
    let line = refused(deployment.cluster.command(0)).await;
    assert!(line.contains(IDENT), "{line}");
}

/// Damage in the middle of the log: the member stops, names file and offset, and never votes on a shortened log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_is_refused_with_file_and_offset() {
    let (mut deployment, _) = Deployment::of_three().await;
    for number in 0..50 {
        deployment
            .client(0)
            .await
            .put(&format!("k/{number}"), &"v".repeat(500))
            .await
            .unwrap();
    }
    deployment.caught_up().await;
    deployment.cluster.kill(&[0]);
    let logs = deployment.cluster.members()[0].data_dir.join("wal");
    let mut files: Vec<_> = std::fs::read_dir(&logs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let damaged = files.iter().find(|path| {
        std::fs::read(path)
            .unwrap()
            .windows(100)
            .any(|window| window == [b'v'; 100])
    });
    let damaged = damaged.expect("the log holds what was written");
    let mut bytes = std::fs::read(damaged).unwrap();
    let at = bytes
        .windows(100)
        .position(|window| window == [b'v'; 100])
        .expect("just found");
    bytes[at] ^= 1;
    std::fs::write(damaged, &bytes).unwrap();
    let line = refused(deployment.cluster.command(0)).await;
    let name = damaged.file_name().unwrap().to_str().unwrap();
    assert!(line.contains(name) && line.contains("at byte"), "{line}");
}
