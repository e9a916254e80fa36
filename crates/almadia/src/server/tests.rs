//! Settings as operators and installers write them: every case says what becomes of it, in words of etcd's flags.

use super::values::Values;
use super::{ConfigError, Flags, LogFormat, Settings, with_two_dashes};
use almadia_member::founding::InitialState;
use clap::{Args, FromArgMatches};
use std::time::Duration;

/// What a command line means, with this environment and this config file.
pub(super) fn load_all(
    line: &str,
    environment: &[(&str, &str)],
    document: &str,
) -> Result<Settings, ConfigError> {
    let arguments = ["server"]
        .into_iter()
        .chain(line.split_whitespace())
        .map(Into::into);
    let matches = Flags::augment_args(clap::Command::new("server"))
        .try_get_matches_from(with_two_dashes(arguments))
        .expect("flags that etcd knows");
    let flags = Flags::from_arg_matches(&matches).expect("made from the same table");
    let environment: Vec<(String, String)> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let read = |path: &str| match path {
        "missing.yaml" => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        _ => Ok(document.to_owned()),
    };
    Settings::from_values(&Values::gather(&flags.given, &environment, read)?)
}

#[track_caller]
pub(super) fn load(line: &str) -> Settings {
    load_all(line, &[], "").unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The complaint about a command line, which must name `flag`.
#[track_caller]
pub(super) fn complaint(line: &str, flag: &str) -> String {
    let error = load_all(line, &[], "").expect_err(line).to_string();
    assert!(error.contains(flag) && !error.contains('\n'), "{line}: {error}");
    error
}

#[test]
fn without_flags_it_is_a_cluster_of_one() {
    let config = load("");
    assert_eq!(config.server.name, "default");
    assert_eq!(config.server.data_dir.to_str(), Some("default.almadia"));
    assert_eq!(config.server.listen_client_urls, ["http://localhost:2379"]);
    assert_eq!(config.server.advertise_client_urls, ["http://localhost:2379"]);
    assert_eq!(config.server.listen_peer_urls, ["http://localhost:2380"]);
    assert_eq!(config.server.initial_cluster.len(), 1);
    assert_eq!(
        config.server.initial_cluster[0].peer_urls,
        ["http://localhost:2380"]
    );
    assert_eq!(config.server.initial_state, InitialState::New);
    assert_eq!(
        (config.server.heartbeat_ms, config.server.election_ms),
        (100, 1000)
    );
    assert_eq!(
        (config.edge.request_bytes_max, config.edge.txn_operations_max),
        (1_572_864, 128)
    );
    assert_eq!(config.edge.keepalive_interval, Duration::from_secs(7200));
    assert_eq!(config.edge.progress_interval, Duration::from_secs(600), "B2.6");
    complaint("--watch-progress-notify-interval 99ms", "100ms");
    assert_eq!(config.warnings, Vec::<String>::new());
}

/// B1.20: no quota unless it is set; etcd's -1 means none too.
#[test]
fn a_quota_is_off_unless_set() {
    for (line, bytes) in [
        ("", None),
        ("--quota-backend-bytes 0", None),
        ("--quota-backend-bytes -1", None),
        ("--quota-backend-bytes 8589934592", Some(8_589_934_592)),
    ] {
        let config = load(line);
        assert_eq!(config.server.quota_bytes, bytes, "{line}");
        assert_eq!(
            config.edge.quota_bytes,
            bytes.map_or(0, u64::cast_signed),
            "{line}"
        );
        assert_eq!(config.warnings, Vec::<String>::new(), "{line}");
    }
    let memory = |line| load(line).server.memory_bytes_max;
    assert_eq!((memory(""), memory("--memory-budget-bytes 0")), (None, Some(0)));
}

#[test]
fn etcd_s_own_three_member_example_starts() {
    let config = load(
        "--name infra1 --data-dir /tmp/x --initial-advertise-peer-urls http://10.0.1.11:2380 \
         --listen-peer-urls http://10.0.1.11:2380 --listen-client-urls http://10.0.1.11:2379,http://127.0.0.1:2379 \
         --advertise-client-urls http://10.0.1.11:2379 --initial-cluster-token etcd-cluster-1 \
         --initial-cluster infra0=http://10.0.1.10:2380,infra1=http://10.0.1.11:2380,infra2=http://10.0.1.12:2380 \
         --initial-cluster-state new",
    );
    let names: Vec<&str> = config
        .server
        .initial_cluster
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    assert_eq!(names, ["infra0", "infra1", "infra2"]);
    assert_eq!(config.server.listen_client_urls.len(), 2);
    assert_ne!(
        config.server.group,
        load("").server.group,
        "another token, another group"
    );
    assert_eq!(config.warnings, Vec::<String>::new());
}

/// The static pod that kubeadm writes, its TLS flags apart.
const KUBEADM: &str = "--data-dir=/var/lib/etcd --experimental-initial-corrupt-check=true \
    --experimental-watch-progress-notify-interval=5s --feature-gates=InitialCorruptCheck=true \
    --initial-advertise-peer-urls=http://192.168.0.10:2380 --initial-cluster=master-0=http://192.168.0.10:2380 \
    --listen-client-urls=http://127.0.0.1:2379,http://192.168.0.10:2379 --listen-metrics-urls=http://127.0.0.1:2381 \
    --advertise-client-urls=http://192.168.0.10:2379 --listen-peer-urls=http://192.168.0.10:2380 --name=master-0 \
    --snapshot-count=10000";

#[test]
fn kubeadm_s_command_line_starts_once_its_tls_flags_are_gone() {
    let config = load(KUBEADM);
    assert_eq!(config.server.name, "master-0");
    assert_eq!(config.edge.progress_interval, Duration::from_secs(5));
    assert_eq!(
        config.warnings.len(),
        1,
        "one line for all that has no effect: {:?}",
        config.warnings
    );
    for name in ["--initial-corrupt-check", "--snapshot-count"] {
        assert!(
            config.warnings[0].contains(name),
            "{name} in {:?}",
            config.warnings
        );
    }
}

/// Row B11.3, as kubeadm has it.
#[test]
fn tls_settings_have_etcd_s_names() {
    let pki = "/etc/kubernetes/pki/etcd";
    let tls = format!(
        "--cert-file={pki}/server.crt --client-cert-auth=true --key-file={pki}/server.key --peer-cert-file={pki}/peer.crt \
         --peer-client-cert-auth=true --peer-key-file={pki}/peer.key --peer-trusted-ca-file={pki}/ca.crt \
         --trusted-ca-file={pki}/ca.crt"
    );
    let secure = KUBEADM.replace("http://", "https://");
    let config = load(&format!("{secure} {tls}"));
    let (client, peer) = (&config.server.tls.client, &config.server.tls.peer);
    assert!(client.requires_client_certificate && peer.requires_client_certificate);
    assert_eq!(client.certificate, Some(format!("{pki}/server.crt").into()));
    assert_eq!(peer.trusted_ca, Some(format!("{pki}/ca.crt").into()));
    assert!(
        !config.warnings.iter().any(|warning| warning.contains("cert")),
        "{:?}",
        config.warnings
    );
    let more = load(&format!(
        "{tls} --peer-cert-allowed-cn=a,b --client-crl-file=/c --cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_128_CBC_SHA"
    ));
    assert_eq!(more.server.tls.peer.allowed_names, ["a", "b"]);
    assert_eq!(more.server.tls.client.revoked, Some("/c".into()));
    assert_eq!(more.server.tls.cipher_suites.len(), 1);
    for part in ["TLS_RSA_WITH_AES_128_CBC_SHA", "is not https"] {
        let is_said = more.warnings.iter().any(|warning| warning.contains(part));
        assert!(is_said, "{part} in {:?}", more.warnings);
    }
}

/// Row B11.3: what TLS cannot be without is asked for; nothing is served in plain text instead.
#[test]
fn tls_is_never_left_out() {
    complaint(
        "--listen-client-urls https://127.0.0.1:2379",
        "--listen-client-urls",
    );
    complaint("--listen-peer-urls https://127.0.0.1:2380", "--listen-peer-urls");
    complaint("--client-cert-auth", "--client-cert-auth");
    complaint("--cert-file=/c", "--cert-file needs --key-file");
    complaint(
        "--tls-min-version=TLS1.1",
        "--tls-min-version=TLS1.1: allowed are TLS1.2 and TLS1.3",
    );
    complaint("--cipher-suites=TLS_MAGIC", "TLS_MAGIC is no cipher suite");
    complaint(
        "--cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA",
        "none of them is offered",
    );
    assert_eq!(
        load("--client-cert-auth=false --peer-auto-tls=0").warnings,
        Vec::<String>::new(),
        "off asks for nothing"
    );
}

/// The config file that k3s writes for its embedded etcd, without TLS.
const K3S: &str = "
name: server-0-1a2b3c4d
data-dir: /var/lib/rancher/k3s/server/db/etcd
listen-client-urls: http://127.0.0.1:2379,http://10.0.0.1:2379
advertise-client-urls: http://10.0.0.1:2379
listen-peer-urls: http://127.0.0.1:2380,http://10.0.0.1:2380
listen-metrics-urls: http://127.0.0.1:2381
initial-advertise-peer-urls: http://10.0.0.1:2380
initial-cluster: server-0-1a2b3c4d=http://10.0.0.1:2380
initial-cluster-state: new
heartbeat-interval: 500
election-timeout: 5000
snapshot-count: 10000
log-outputs:
- stderr
logger: zap
experimental-initial-corrupt-check: true
experimental-watch-progress-notify-interval: 5000000000
grpc-keepalive-timeout: 10000000000
";

#[test]
fn k3s_s_config_file_starts() {
    let config = load_all("--config-file etcd.yaml", &[], K3S).expect("k3s's file");
    assert_eq!(config.server.name, "server-0-1a2b3c4d");
    assert_eq!(
        (config.server.heartbeat_ms, config.server.election_ms),
        (500, 5000)
    );
    assert_eq!(config.edge.progress_interval, Duration::from_secs(5));
    assert_eq!(config.edge.leaderless_max, Duration::from_secs(15), "B0.13");
    assert_eq!(
        config.edge.keepalive_timeout,
        Duration::from_secs(10),
        "durations in the file are nanoseconds"
    );
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    let secured = format!(
        "{}client-transport-security:\n  cert-file: /c\n  key-file: /k\n  client-cert-auth: true\n  trusted-ca-file: /t\n\
         peer-transport-security:\n  cert-file: /p\n  key-file: /q\n  client-cert-auth: true\n  trusted-ca-file: /u\n",
        K3S.replace("http://10", "https://10")
    );
    let config = load_all("--config-file etcd.yaml", &[], &secured).expect("k3s's file with TLS");
    assert_eq!(config.server.tls.client.trusted_ca, Some("/t".into()));
    assert_eq!(config.server.tls.peer.key, Some("/q".into()));
}

#[test]
fn a_config_file_replaces_flags_and_environment() {
    let environment = [("ETCD_ELECTION_TIMEOUT", "3000")];
    let config = load_all(
        "--name flag --config-file a.yaml",
        &environment,
        "name: file\nsurprise: 1\n",
    )
    .expect("a file");
    assert_eq!(
        (config.server.name.as_str(), config.server.election_ms),
        ("file", 1000)
    );
    assert_eq!(
        config.warnings,
        [
            "a.yaml: unknown setting surprise is ignored",
            "with --config-file, flags and environment are ignored: election-timeout, name",
        ]
    );
    let named_by_environment =
        load_all("", &[("ETCD_CONFIG_FILE", "a.yaml")], "name: file\n").expect("a file");
    assert_eq!(named_by_environment.server.name, "file");
    complaint("--config-file missing.yaml", "--config-file missing.yaml");
    let error = load_all("--config-file a.yaml", &[], "heartbeat-interval: fast\n")
        .expect_err("no number")
        .to_string();
    assert_eq!(
        error,
        "a.yaml: heartbeat-interval: fast: allowed is a number from 1 to 10000"
    );
}

#[test]
fn the_environment_stands_in_for_flags_and_flags_win() {
    let environment = [
        ("ETCD_NAME", "m1"),
        ("ETCD_ELECTION_TIMEOUT", "2000"),
        ("ETCD_DATA_DIR", ""),
        ("ETCD_EXPERIMENTAL_CORRUPT_CHECK_TIME", "1m"),
        ("ETCD_SURPRISE", "1"),
        ("ALMADIA_GROUP", "0f8fad5b-d9cb-469f-a165-70867728950e"),
        ("ALMADIA_OTHER", "1"),
    ];
    let config = load_all("--election-timeout 4000", &environment, "").expect("good");
    assert_eq!(
        (config.server.name.as_str(), config.server.election_ms),
        ("m1", 4000)
    );
    assert_eq!(config.server.data_dir.to_str(), Some("m1.almadia"));
    assert_eq!(
        config.server.group.to_string(),
        "0f8fad5b-d9cb-469f-a165-70867728950e"
    );
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
    assert_eq!(
        config.warnings[0],
        "unknown environment variable ETCD_SURPRISE is ignored"
    );
    let error = load_all("", &[("ETCD_LOG_LEVEL", "loud")], "")
        .expect_err("bad level")
        .to_string();
    assert_eq!(
        error,
        "ETCD_LOG_LEVEL=loud: allowed are debug, info, warn and error"
    );
}

#[test]
fn one_dash_does_as_well_as_two() {
    let config = load("-name m0 -pre-vote -data-dir=-odd --election-timeout 2000 -election-timeout 3000");
    assert_eq!(
        (config.server.name.as_str(), config.server.election_ms),
        ("m0", 3000),
        "the last one wins"
    );
    assert_eq!(config.server.data_dir.to_str(), Some("-odd"));
    let arguments =
        ["almadia", "-o", "server", "-name", "-name", "-h", "-wal-dir=x"].map(std::ffi::OsString::from);
    let expected =
        ["almadia", "-o", "server", "--name", "-name", "-h", "--wal-dir=x"].map(std::ffi::OsString::from);
    assert_eq!(
        with_two_dashes(arguments),
        expected,
        "values and foreign flags stay"
    );
}

#[test]
fn every_bad_value_is_one_line_that_names_its_flag() {
    for (line, flag) in [
        ("--name a=b", "--name a=b"),
        ("--group 1234", "--group=1234"),
        ("--initial-cluster-state later", "--initial-cluster-state=later"),
        ("--heartbeat-interval 0", "--heartbeat-interval=0"),
        ("--heartbeat-interval 1s", "--heartbeat-interval=1s"),
        ("--election-timeout 50001", "--election-timeout=50001"),
        ("--election-timeout 499", "--election-timeout 499 ms"),
        ("--max-request-bytes -1", "--max-request-bytes=-1"),
        ("--max-request-bytes 99999999", "--max-request-bytes=99999999"),
        ("--max-txn-ops 0", "--max-txn-ops=0"),
        ("--quota-backend-bytes 2GiB", "--quota-backend-bytes=2GiB"),
        ("--memory-budget-bytes -1", "--memory-budget-bytes=-1"),
        (
            "--max-concurrent-streams 4294967296",
            "--max-concurrent-streams=4294967296",
        ),
        ("--grpc-keepalive-timeout 20", "--grpc-keepalive-timeout=20"),
        ("--log-level loud", "--log-level=loud"),
        ("--log-format xml", "--log-format=xml"),
        ("--listen-client-urls localhost:2379", "--listen-client-urls"),
        ("--listen-peer-urls http://a", "--listen-peer-urls"),
        (
            "--listen-client-urls http://0.0.0.0:2379",
            "--advertise-client-urls",
        ),
        (
            "--listen-peer-urls http://0.0.0.0:2380",
            "--initial-advertise-peer-urls",
        ),
        (
            "--initial-advertise-peer-urls http://0.0.0.0:2380",
            "--initial-advertise-peer-urls",
        ),
        ("--initial-cluster default", "--initial-cluster"),
        ("--initial-cluster =http://a:1", "--initial-cluster"),
        (
            "--initial-cluster other=http://a:1",
            "this member, default (--name)",
        ),
        (
            "--initial-cluster default=http://a:1,b=http://a:1",
            "http://a:1 is the address of two members",
        ),
        (
            "--initial-cluster default=http://a:1,b=http://0.0.0.0:1",
            "--initial-cluster",
        ),
        (
            "--initial-cluster default=http://a:1 --initial-advertise-peer-urls http://a:2",
            "--initial-advertise-peer-urls says",
        ),
        ("--discovery http://d", "--discovery=http://d"),
        ("--force-new-cluster", "--force-new-cluster=true"),
    ] {
        complaint(line, flag);
    }
    let ten: Vec<String> = (0..10)
        .map(|ordinal| format!("m{ordinal}=http://h:{}", ordinal + 1))
        .collect();
    complaint(
        &format!("--name m0 --initial-cluster {}", ten.join(",")),
        "10 members",
    );
}

#[test]
fn addresses_that_were_left_out_follow_from_the_others() {
    let config = load(
        "--name m1 --listen-peer-urls http://0.0.0.0:2380 --initial-cluster m0=http://a:2380,m1=http://b:2380,m1=http://c:2380",
    );
    assert_eq!(
        config.server.advertise_peer_urls,
        ["http://b:2380", "http://c:2380"],
        "from the cluster's list"
    );
    let config = load("--listen-peer-urls http://127.0.0.1:7000 --listen-client-urls http://[::1]:7001");
    assert_eq!(
        config.server.advertise_peer_urls,
        ["http://127.0.0.1:7000"],
        "where it listens"
    );
    assert_eq!(config.server.advertise_client_urls, ["http://[::1]:7001"]);
    assert_eq!(
        load("--initial-cluster-state existing").server.initial_state,
        InitialState::Existing
    );
    assert_eq!(load("--log-format json").log_format, LogFormat::Json);
}

/// Row B11.4: how logins are set up, and what is refused.
#[test]
fn logins() {
    use almadia_etcd::TokenKind;
    let ttl_and_cost = |line: &str| {
        let auth = load(line).edge.auth;
        let TokenKind::Simple { ttl } = auth.tokens else {
            panic!("{line}: {auth:?}");
        };
        (ttl.as_secs(), auth.bcrypt_cost)
    };
    assert_eq!(ttl_and_cost(""), (300, 10));
    assert_eq!(ttl_and_cost("--auth-token simple --auth-token-ttl 0"), (300, 10));
    assert_eq!(ttl_and_cost("--auth-token-ttl 2 --bcrypt-cost=4"), (2, 4));
    complaint("--bcrypt-cost=3", "--bcrypt-cost");
    complaint("--bcrypt-cost=32", "--bcrypt-cost");
    complaint("--auth-token-ttl=-1", "--auth-token-ttl");
    complaint("--auth-token=nop", "--auth-token");
    let mut settings = load("--auth-token=jwt,sign-method=HS256,priv-key=k");
    settings
        .read_keys(|_| Ok(b"secret".to_vec()))
        .expect("a key of this kind");
    assert!(matches!(settings.edge.auth.tokens, TokenKind::Jwt(_)));
    let mut settings = load("--auth-token=jwt,sign-method=RS256,priv-key=k");
    let error = settings
        .read_keys(|_| Ok(b"secret".to_vec()))
        .expect_err("no RSA key")
        .to_string();
    assert!(
        error.contains("--auth-token") && !error.contains("secret"),
        "{error}"
    );
}

/// B3.1: the shortest lease follows the election timeout, as in etcd.
#[test]
fn the_shortest_lease_follows_the_election_timeout() {
    for (line, seconds) in [
        ("", 2),
        ("--election-timeout 2000", 3),
        ("--election-timeout 3001 --heartbeat-interval 100", 5),
    ] {
        assert_eq!(load(line).edge.lease_ttl_min, seconds, "{line}");
    }
}

/// Row B8.8 and the switch of B8.1.
#[test]
fn b8_8_browsers_and_the_gateway() {
    let edge = load("").edge;
    assert!(edge.json_gateway);
    assert_eq!(
        (edge.cors, edge.host_whitelist),
        (vec!["*".to_owned()], vec!["*".to_owned()])
    );
    let edge =
        load("--enable-grpc-gateway=false --cors=http://a.example:1,http://b.example --host-whitelist=a,b")
            .edge;
    assert!(!edge.json_gateway);
    assert_eq!(edge.cors, ["http://a.example:1", "http://b.example"]);
    assert_eq!(edge.host_whitelist, ["a", "b"]);
    complaint("--enable-grpc-gateway=maybe", "enable-grpc-gateway");
    assert!(load("").edge.console && !load("--enable-console=false").edge.console);
    complaint("--enable-console=maybe", "enable-console");
    let kubeadm = [("ETCD_ENABLE_GRPC_GATEWAY", "true")];
    let settings = load_all("", &kubeadm, "").expect("as bitnami's image sets it");
    assert!(settings.edge.json_gateway && settings.warnings.is_empty());
}

/// Rows B8.2 and B8.6: entrances of their own for HTTP and for metrics, as kubeadm has one.
#[test]
fn b8_6_entrances() {
    let server = load("").server;
    assert!(server.listen_client_http_urls.is_empty() && server.listen_metrics_urls.is_empty());
    let settings =
        load("--listen-metrics-urls=http://127.0.0.1:2381 --listen-client-http-urls http://127.0.0.1:8080");
    assert_eq!(settings.server.listen_metrics_urls, ["http://127.0.0.1:2381"]);
    assert_eq!(settings.server.listen_client_http_urls, ["http://127.0.0.1:8080"]);
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    complaint("--listen-metrics-urls=nonsense", "listen-metrics-urls");
}
