//! Who may belong to a cluster, and under which address: M1.10, M1.12, M1.13, and members that lost their disk.

use crate::deployment::{Deployment, refused};
use std::process::Command;

/// The command line of a member with one flag changed.
pub fn with_flag(deployment: &Deployment, ordinal: usize, flag: &str, value: &str) -> Command {
    let command = deployment.cluster.command(ordinal);
    let mut arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    match arguments.iter().position(|argument| argument == flag) {
        Some(position) => arguments[position + 1] = value.into(),
        None => arguments.extend([flag.into(), value.into()]),
    }
    let mut changed = Command::new(command.get_program());
    changed.args(arguments);
    changed
}

/// M1.13: a member of another group is refused at the handshake, and a founded cluster goes on without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_another_group_is_refused() {
    let (mut deployment, leader) = Deployment::of_three().await;
    let stranger = (leader.ordinal + 1) % 3;
    deployment.cluster.kill(&[stranger]);
    std::fs::remove_dir_all(&deployment.cluster.members()[stranger].data_dir).unwrap();
    let command = with_flag(&deployment, stranger, "--initial-cluster-token", "another");
    deployment.cluster.start_as(stranger, command).unwrap();
    deployment.says(stranger, "is of another group").await;
    deployment
        .client(leader.ordinal)
        .await
        .put("k", "v")
        .await
        .unwrap();
    assert!(
        deployment.cluster.is_running(stranger),
        "it waits for its own group"
    );
}

/// M1.13: what is on disk stays with the group it was made for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_of_another_group_is_refused_in_one_line() {
    let (mut deployment, _) = Deployment::of_three().await;
    deployment.cluster.kill(&[0]);
    let line = refused(with_flag(&deployment, 0, "--initial-cluster-token", "another")).await;
    assert!(
        line.contains("belongs to group") && line.contains("--initial-cluster-token"),
        "{line}"
    );
    let line = refused(with_flag(
        &deployment,
        0,
        "--group",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
    ))
    .await;
    assert!(line.contains("0f8fad5b-d9cb-469f-a165-70867728950e"), "{line}");
}

/// M1.12: the list names every member; a member that is not in it is refused with a clear line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_not_in_the_list_is_refused() {
    let deployment = Deployment::planned(3);
    let line = refused(with_flag(&deployment, 0, "--name", "almadia-7")).await;
    assert!(
        line.contains("--initial-cluster") && line.contains("almadia-7"),
        "{line}"
    );
    let line = refused(with_flag(&deployment, 0, "--initial-cluster", "almadia-0:2380")).await;
    assert!(line.contains("--initial-cluster"), "{line}");
}

/// A member that comes back without its disk neither founds nor votes: it waits and says so, and the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_member_waits_and_says_so() {
    let (mut deployment, leader) = Deployment::of_three().await;
    let wiped = (leader.ordinal + 1) % 3;
    deployment.cluster.kill(&[wiped]);
    std::fs::remove_dir_all(&deployment.cluster.members()[wiped].data_dir).unwrap();
    deployment.cluster.start(wiped).unwrap();
    deployment.says(wiped, "admi").await;
    deployment
        .client(leader.ordinal)
        .await
        .put("k", "v")
        .await
        .unwrap();
    // The old leader and the wiped member would be two of three; but the wiped one's vote does not count.
    let third = 3 - leader.ordinal - wiped;
    deployment.cluster.kill(&[third]);
    let put = deployment.client(leader.ordinal).await;
    assert!(
        put.put("k", "w").await.is_err(),
        "one real member out of three acknowledged a write"
    );
    assert!(deployment.cluster.is_running(wiped));
}

/// M1.10: a member that comes back with another address under the same name is found again, with no change anywhere else.
/// Each member sees a hosts file of the test's own in place of the machine's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_a_new_address_is_found_again() {
    let mut deployment = Deployment::planned(3);
    let names = Names {
        hosts: tempfile::NamedTempFile::new().unwrap(),
    };
    names.set(["127.0.0.1"; 3]);
    if !names.can_be_seen() {
        println!(
            "SKIPPED: this system does not let a process have a hosts file of its own (unshare --mount)"
        );
        return;
    }
    for ordinal in 0..3 {
        let command = names.command(&deployment, ordinal, "127.0.0.1");
        deployment.cluster.start_as(ordinal, command).unwrap();
    }
    let mut leader = deployment.leader_above(0).await;
    let mut addresses = ["127.0.0.1", "127.0.0.1", "127.0.0.1"];
    for (ordinal, moved_to) in ["127.0.0.11", "127.0.0.12", "127.0.0.13"].into_iter().enumerate() {
        deployment
            .client(leader.ordinal)
            .await
            .put(&format!("k/{ordinal}"), "v")
            .await
            .unwrap();
        deployment.cluster.kill(&[ordinal]);
        addresses[ordinal] = moved_to;
        names.set(addresses);
        let command = names.command(&deployment, ordinal, moved_to);
        deployment.cluster.start_as(ordinal, command).unwrap();
        deployment.caught_up().await;
        leader = deployment.leader_above(0).await;
    }
    let contents = deployment
        .client(leader.ordinal)
        .await
        .contents("k/")
        .await
        .unwrap();
    assert_eq!(contents.pairs.len(), 3);
}

/// Names of members and the addresses they mean at the moment.
struct Names {
    hosts: tempfile::NamedTempFile,
}

impl Names {
    fn set(&self, addresses: [&str; 3]) {
        let lines: String = addresses
            .iter()
            .enumerate()
            .map(|(ordinal, address)| format!("{address} {}\n", Self::name(ordinal)))
            .collect();
        // In place: the members' view is of this very file.
        std::fs::write(self.hosts.path(), format!("127.0.0.1 localhost\n{lines}")).unwrap();
    }

    fn name(ordinal: usize) -> String {
        format!("almadia-{ordinal}.test")
    }

    /// A command that sees these names.
    fn seeing(&self, program: &std::ffi::OsStr) -> Command {
        let mut command = Command::new("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$0\" /etc/hosts && exec \"$@\"",
        ]);
        command.arg(self.hosts.path()).arg(program);
        command
    }

    fn can_be_seen(&self) -> bool {
        let output = self
            .seeing("getent".as_ref())
            .args(["hosts", &Self::name(0)])
            .output();
        output.is_ok_and(|output| output.status.success())
    }

    /// The member's command line with names in place of addresses; it listens on the address it has now.
    fn command(&self, deployment: &Deployment, ordinal: usize, address: &str) -> Command {
        let members = deployment.cluster.members();
        let named = |ordinal: usize| {
            members[ordinal]
                .peer_url
                .replace("127.0.0.1", &Self::name(ordinal))
        };
        let list: Vec<String> = (0..3)
            .map(|ordinal| format!("almadia-{ordinal}={}", named(ordinal)))
            .collect();
        let plain = deployment.cluster.command(ordinal);
        let mut command = self.seeing(plain.get_program());
        // The last of several flags wins.
        command.args(plain.get_args());
        command.args([
            "--initial-cluster",
            &list.join(","),
            "--initial-advertise-peer-urls",
            &named(ordinal),
        ]);
        command.args([
            "--listen-peer-urls",
            &members[ordinal].peer_url.replace("127.0.0.1", address),
        ]);
        command
    }
}
