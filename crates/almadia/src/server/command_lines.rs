//! Command lines, environments and files of installers, as they write them: each starts a member, and what has no effect is said
//! in one line (rows B11.1 to B11.8).

use super::tests::{complaint, load, load_all};
use super::{Flags, LogOutput, called_as_etcd, with_two_dashes};
use almadia_etcd::AutoCompaction;
use clap::Args;
use std::time::Duration;

/// Debian's `/etc/default/etcd`, with the lines that its comments suggest.
#[test]
fn b11_1_debian_s_environment() {
    let environment = [
        ("ETCD_NAME", "node1"),
        ("ETCD_DATA_DIR", "/var/lib/etcd/default"),
        ("ETCD_WAL_DIR", ""),
        ("ETCD_SNAPSHOT_COUNT", "10000"),
        ("ETCD_HEARTBEAT_INTERVAL", "100"),
        ("ETCD_ELECTION_TIMEOUT", "1000"),
        ("ETCD_LISTEN_PEER_URLS", "http://10.0.0.1:2380"),
        (
            "ETCD_LISTEN_CLIENT_URLS",
            "http://10.0.0.1:2379,http://127.0.0.1:2379",
        ),
        ("ETCD_MAX_SNAPSHOTS", "5"),
        ("ETCD_MAX_WALS", "5"),
        ("ETCD_CORS", ""),
        ("ETCD_INITIAL_ADVERTISE_PEER_URLS", "http://10.0.0.1:2380"),
        (
            "ETCD_INITIAL_CLUSTER",
            "node1=http://10.0.0.1:2380,node2=http://10.0.0.2:2380",
        ),
        ("ETCD_INITIAL_CLUSTER_STATE", "existing"),
        ("ETCD_INITIAL_CLUSTER_TOKEN", "etcd-cluster"),
        ("ETCD_ADVERTISE_CLIENT_URLS", "http://10.0.0.1:2379"),
        ("ETCD_DISCOVERY", ""),
        ("ETCD_STRICT_RECONFIG_CHECK", "true"),
        ("ETCD_PROXY", "off"),
        ("ETCD_CERT_FILE", ""),
        ("ETCD_PEER_CLIENT_CERT_AUTH", "false"),
        ("ETCD_DEBUG", "false"),
        ("ETCD_LOG_PACKAGE_LEVELS", ""),
        ("ETCD_FORCE_NEW_CLUSTER", "false"),
    ];
    let settings = load_all("", &environment, "").expect("Debian's settings");
    assert_eq!(settings.server.name, "node1");
    assert_eq!(settings.server.initial_cluster.len(), 2);
    assert!(settings.warnings.len() <= 2, "{:?}", settings.warnings);
}

/// What Bitnami's image sets, with its own variables, which etcd does not know either.
#[test]
fn b11_2_bitnami_s_environment() {
    let environment = [
        ("ALLOW_NONE_AUTHENTICATION", "yes"),
        ("ETCD_NAME", "etcd-0"),
        ("ETCD_DATA_DIR", "/bitnami/etcd/data"),
        ("ETCD_LISTEN_PEER_URLS", "http://0.0.0.0:2380"),
        ("ETCD_LISTEN_CLIENT_URLS", "http://0.0.0.0:2379"),
        (
            "ETCD_INITIAL_ADVERTISE_PEER_URLS",
            "http://etcd-0.etcd-headless.default.svc.cluster.local:2380",
        ),
        (
            "ETCD_ADVERTISE_CLIENT_URLS",
            "http://etcd-0.etcd-headless.default.svc.cluster.local:2379",
        ),
        (
            "ETCD_INITIAL_CLUSTER",
            "etcd-0=http://etcd-0.etcd-headless.default.svc.cluster.local:2380",
        ),
        ("ETCD_INITIAL_CLUSTER_STATE", "new"),
        ("ETCD_INITIAL_CLUSTER_TOKEN", "etcd-cluster-k8s"),
        ("ETCD_AUTO_COMPACTION_MODE", "periodic"),
        ("ETCD_AUTO_COMPACTION_RETENTION", "10h"),
        ("ETCD_LOG_LEVEL", "info"),
        ("ETCD_TRUSTED_CA_FILE", ""),
        ("ETCD_ON_K8S", "yes"),
    ];
    let settings = load_all("", &environment, "").expect("Bitnami's settings");
    assert_eq!(
        settings.edge.auto_compaction,
        AutoCompaction::Age(Duration::from_secs(36_000))
    );
    assert_eq!(
        settings.warnings,
        ["unknown environment variable ETCD_ON_K8S is ignored"]
    );
}

/// The flags of k0s, its TLS flags apart.
#[test]
fn b11_5_k0s_s_command_line() {
    let settings = load(
        "--data-dir=/var/lib/k0s/etcd --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
         --listen-peer-urls=http://10.0.0.1:2380 --initial-advertise-peer-urls=http://10.0.0.1:2380 --name=master-0 \
         --initial-cluster=master-0=http://10.0.0.1:2380 --initial-cluster-state=new --enable-pprof=false --auth-token=simple \
         --log-level=info --logger=zap",
    );
    assert_eq!(settings.server.name, "master-0");
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
}

#[test]
fn slow_requests_have_etcd_s_thresholds_and_one_of_our_own() {
    let threshold = |line| load(line).edge.slow_request_threshold;
    let ms = |ms| Some(Duration::from_millis(ms));
    assert_eq!(threshold(""), ms(100), "as etcd's");
    assert_eq!(threshold("--experimental-warning-apply-duration=200ms"), ms(200));
    assert_eq!(
        threshold("--warning-unary-request-duration=300ms --warning-apply-duration=200ms"),
        ms(300)
    );
    assert_eq!(
        threshold("--slow-request-threshold=1s --warning-unary-request-duration=300ms"),
        ms(1000)
    );
    assert_eq!(threshold("--slow-request-threshold=0"), None);
    complaint("--slow-request-threshold=soon", "--slow-request-threshold=soon");
}

#[test]
fn b11_2_history_is_kept_as_long_as_etcd_keeps_it() {
    let kept = |line| load(line).edge.auto_compaction;
    let hours = |hours: u64| AutoCompaction::Age(Duration::from_secs(hours * 3600));
    assert_eq!(kept(""), AutoCompaction::Off);
    assert_eq!(kept("--auto-compaction-retention=0"), AutoCompaction::Off);
    assert_eq!(kept("--auto-compaction-retention=8"), hours(8));
    assert_eq!(
        kept("--auto-compaction-mode=periodic --auto-compaction-retention=72h"),
        hours(72)
    );
    assert_eq!(
        kept("--auto-compaction-retention 30m"),
        AutoCompaction::Age(Duration::from_secs(1800))
    );
    assert_eq!(
        kept("--auto-compaction-mode=revision --auto-compaction-retention=1000"),
        AutoCompaction::Revisions(1000)
    );
    complaint("--auto-compaction-mode=yearly", "--auto-compaction-mode=yearly");
    complaint(
        "--auto-compaction-retention=soon",
        "--auto-compaction-retention=soon",
    );
    complaint("--auto-compaction-retention=-1", "--auto-compaction-retention=-1");
    complaint(
        "--auto-compaction-mode=revision --auto-compaction-retention=1h",
        "--auto-compaction-retention=1h",
    );
}

#[test]
fn b11_5_where_messages_go() {
    assert_eq!(load("").log_outputs, [LogOutput::Error]);
    assert_eq!(load("--log-outputs=default").log_outputs, [LogOutput::Error]);
    assert_eq!(
        load("--log-outputs=stdout,/var/log/almadia.log").log_outputs,
        [
            LogOutput::Standard,
            LogOutput::File("/var/log/almadia.log".to_owned())
        ]
    );
    let warnings = load("--enable-log-rotation --log-rotation-config-json={}").warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn b11_7_what_is_unsafe_is_ignored_aloud_or_refused() {
    let warnings = load("--unsafe-no-fsync").warnings;
    assert!(
        warnings.len() == 1 && warnings[0].contains("--unsafe-no-fsync (every acknowledged write is synced)"),
        "{warnings:?}"
    );
    complaint("--force-new-cluster", "--force-new-cluster");
    complaint("--discovery-srv example.com", "--discovery-srv");
}

#[test]
fn b11_8_gates_are_accepted() {
    let line = "--feature-gates=StopGRPCServiceOnDefrag=true,InitialCorruptCheck=true,LeaseCheckpoint=true";
    assert_eq!(load(line).warnings.len(), 1);
}

/// A typo is refused, and the flag that was probably meant is named.
#[test]
fn a_flag_that_nobody_knows_is_refused_with_a_suggestion() {
    for (typo, meant) in [
        ("--listen-client-url=http://a:1", "--listen-client-urls"),
        ("--initial-clutser=a=http://a:1", "--initial-cluster"),
        ("--max-watch=1", "--max-watches"),
    ] {
        let arguments = ["server", typo].map(Into::into);
        let error = Flags::augment_args(clap::Command::new("server"))
            .try_get_matches_from(with_two_dashes(arguments))
            .expect_err(typo)
            .to_string();
        assert!(
            error.contains(typo.split('=').next().unwrap()) && error.contains(meant),
            "{error}"
        );
    }
}

/// Each limit has a flag, and nonsense is refused with what is allowed.
#[test]
fn limits_have_flags() {
    let limits = load(
        "--max-concurrent-streams 5 --max-client-connections 6 --client-header-timeout 1s --client-body-timeout 0 \
         --client-idle-timeout 2m --max-cancelled-requests 7 --max-unfinished-bytes 8 --max-answer-bytes 9 --max-watches 10 \
         --max-watches-per-stream 11 --max-leases 12 --max-failed-logins 0",
    );
    let (auth, limits) = (limits.edge.auth, limits.edge.limits);
    assert_eq!((limits.streams_max, limits.connections_max), (5, 6));
    assert_eq!(
        (limits.header_timeout, limits.idle_timeout),
        (Duration::from_secs(1), Duration::from_secs(120))
    );
    assert!(limits.body_timeout > Duration::from_secs(1_000_000), "0 is never");
    assert_eq!(
        (limits.cancelled_per_second_max, limits.unfinished_bytes_max),
        (7, 8)
    );
    assert_eq!((limits.answer_bytes_max, limits.watches_max), (9, 10));
    assert_eq!((limits.stream_watches_max, limits.leases_max), (11, 12));
    assert_eq!(auth.failed_logins_max, 0);
    assert_eq!(load("").edge.limits.streams_max, 1000);
    complaint("--max-watches none", "--max-watches=none");
    complaint("--max-client-connections 0", "--max-client-connections=0");
    complaint("--client-header-timeout soon", "--client-header-timeout=soon");
}

#[test]
fn etcd_s_name_means_the_server() {
    let check = |line: &str, expected: &str| {
        let words = called_as_etcd(line.split(' ').map(Into::into));
        assert_eq!(words.join(" ".as_ref()), expected);
    };
    check(
        "/usr/local/bin/etcd --name a",
        "/usr/local/bin/etcd server --name a",
    );
    check("etcd", "etcd server");
    check("almadia get etcd", "almadia get etcd");
    check("./etcdctl get a", "./etcdctl get a");
}
