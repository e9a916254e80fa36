//! What kubeadm, k3s and k0s write for their etcd, TLS and all, starts a member: as command line, environment and config file
//! (rows B11.1 to B11.5). Only addresses, ports and directories differ from what those programs write; 127.0.0.2 and 127.0.0.3
//! are the machines.

use crate::deployment::{Deployment, PATIENCE, PROGRAM, succeeded};
use crate::metrics::fetch;
use crate::tls::{DAY, Office, put_once};
use almadia::commands::tls::TlsArguments;
use almadia::demo::cluster::free_ports;
use almadia_server::tls::issue::{self, Issued, Purpose};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Settings as an installer writes them: names without dashes, and values.
type Settings = Vec<(&'static str, String)>;

/// Machines with certificates, and members that an installer is about to start on them.
struct Site {
    office: Office,
    deployment: Deployment,
    authority: Issued,
    metrics_ports: Vec<u16>,
    http_port: u16,
}

impl Site {
    /// Certificates as kubeadm makes them: server and peer may be shown by either side.
    fn new(machines: usize) -> Self {
        let office = Office::new();
        let authority = issue::authority("etcd-ca", DAY).unwrap();
        office.write("ca.crt", &authority.certificate);
        office.write("clients-believe.crt", &authority.certificate);
        office.issue_for("apiserver-etcd-client", &authority, Purpose::Client, &[]);
        let ports = free_ports(machines + 1).unwrap();
        let site = Self {
            office,
            deployment: Deployment::planned(machines),
            authority,
            metrics_ports: ports[1..].to_vec(),
            http_port: ports[0],
        };
        for machine in 0..machines {
            let (address, name) = (address(machine), name(machine));
            let hosts = ["localhost", name.as_str(), address.as_str(), "127.0.0.1"];
            for file in ["server", "peer"] {
                let file = format!("{file}-{machine}");
                site.office
                    .issue_for(&file, &site.authority, Purpose::Peer, &hosts);
            }
        }
        site
    }

    fn client_port(&self, machine: usize) -> &str {
        port_of(&self.deployment.cluster.members()[machine].client_url)
    }

    fn peer_url(&self, machine: usize) -> String {
        let port = port_of(&self.deployment.cluster.members()[machine].peer_url);
        format!("https://{}:{port}", address(machine))
    }

    fn client_url(&self, machine: usize) -> String {
        format!("https://{}:{}", address(machine), self.client_port(machine))
    }

    fn metrics_url(&self, machine: usize) -> String {
        format!("http://127.0.0.1:{}", self.metrics_ports[machine])
    }

    fn data_dir(&self, machine: usize) -> String {
        let path = &self.deployment.cluster.members()[machine].data_dir;
        path.to_str().unwrap().to_owned()
    }

    fn file(&self, kind: &str, machine: usize, ending: &str) -> String {
        self.office.text(&format!("{kind}-{machine}.{ending}"))
    }

    /// Starts the program with exactly this; settings meant for somebody else's server do not reach it.
    fn start(&mut self, machine: usize, mut command: Command) {
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("ETCD_")) {
                command.env_remove(name);
            }
        }
        self.deployment.cluster.start_as(machine, command).unwrap();
    }

    /// A put at this machine with these files.
    async fn put(&self, machine: usize, files: &TlsArguments, limit: Duration) -> Result<(), String> {
        put_once(&[self.client_url(machine)], files, "key", limit).await
    }

    /// Clients with a certificate are served there, others are not, and Kubernetes' probes hear that all is well.
    async fn serves(&self, machine: usize) {
        let files = self.office.client("apiserver-etcd-client");
        if let Err(error) = self.put(machine, &files, PATIENCE).await {
            panic!("{error}\n{}", self.deployment.last_words());
        }
        let nobody = TlsArguments {
            cert: None,
            key: None,
            ..files
        };
        let refused = self.put(machine, &nobody, Duration::from_secs(3)).await;
        assert!(refused.is_err(), "a client without a certificate was let in");
    }

    fn almadia(&self, words: &[&str]) -> Output {
        let files = self.office.client("apiserver-etcd-client");
        Command::new(PROGRAM)
            .args(words)
            .args(["--endpoints", &self.client_url(0)])
            .arg("--cacert")
            .arg(files.cacert.unwrap())
            .arg("--cert")
            .arg(files.cert.unwrap())
            .arg("--key")
            .arg(files.key.unwrap())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// kubeadm's static pod (`etcd.yaml`) on this machine; `experimental` as for etcd 3.5, without as for 3.6.
    fn kubeadm(&self, machine: usize, initial_cluster: String, is_old: bool) -> Settings {
        let (client, peer) = (self.client_url(machine), self.peer_url(machine));
        let local = format!("https://127.0.0.1:{}", self.client_port(machine));
        let on = || "true".to_owned();
        let mut settings = vec![
            ("advertise-client-urls", client.clone()),
            ("cert-file", self.file("server", machine, "crt")),
            ("client-cert-auth", on()),
            ("data-dir", self.data_dir(machine)),
            ("initial-advertise-peer-urls", peer.clone()),
            ("initial-cluster", initial_cluster),
            ("key-file", self.file("server", machine, "key")),
            ("listen-client-urls", format!("{local},{client}")),
            ("listen-metrics-urls", self.metrics_url(machine)),
            ("listen-peer-urls", peer),
            ("name", name(machine)),
            ("peer-cert-file", self.file("peer", machine, "crt")),
            ("peer-client-cert-auth", on()),
            ("peer-key-file", self.file("peer", machine, "key")),
            ("peer-trusted-ca-file", self.office.text("ca.crt")),
            ("snapshot-count", "10000".to_owned()),
            ("trusted-ca-file", self.office.text("ca.crt")),
        ];
        settings.extend(if is_old {
            [
                ("experimental-initial-corrupt-check", on()),
                ("experimental-watch-progress-notify-interval", "5s".to_owned()),
            ]
        } else {
            [
                ("feature-gates", "InitialCorruptCheck=true".to_owned()),
                ("watch-progress-notify-interval", "5s".to_owned()),
            ]
        });
        settings
    }

    /// The file that k3s writes for the etcd in it.
    fn k3s(&self, machine: usize) -> String {
        let (client, peer) = (self.client_url(machine), self.peer_url(machine));
        let name = name(machine);
        format!(
            "advertise-client-urls: {client}\n\
             client-transport-security:\n  cert-file: {server_crt}\n  client-cert-auth: true\n  key-file: {server_key}\n  \
             trusted-ca-file: {ca}\n\
             data-dir: {data_dir}\nelection-timeout: 5000\nexperimental-initial-corrupt-check: true\n\
             experimental-watch-progress-notify-interval: 5000000000\nheartbeat-interval: 500\n\
             initial-advertise-peer-urls: {peer}\ninitial-cluster: {name}={peer}\ninitial-cluster-state: new\n\
             listen-client-http-urls: https://127.0.0.1:{http}\nlisten-client-urls: https://127.0.0.1:{port},{client}\n\
             listen-metrics-urls: {metrics}\nlisten-peer-urls: https://127.0.0.1:{peer_port},{peer}\n\
             log-outputs:\n- stderr\nlogger: zap\nname: {name}\n\
             peer-transport-security:\n  cert-file: {peer_crt}\n  client-cert-auth: true\n  key-file: {peer_key}\n  \
             trusted-ca-file: {ca}\n\
             snapshot-count: 10000\nsocket-options: {{}}\n",
            server_crt = self.file("server", machine, "crt"),
            server_key = self.file("server", machine, "key"),
            peer_crt = self.file("peer", machine, "crt"),
            peer_key = self.file("peer", machine, "key"),
            ca = self.office.text("ca.crt"),
            data_dir = self.data_dir(machine),
            http = self.http_port,
            port = self.client_port(machine),
            metrics = self.metrics_url(machine),
            peer_port = port_of(&peer),
        )
    }

    /// What k0s starts on this machine; the first member of a cluster gets no list of members.
    fn k0s(&self, machine: usize) -> Settings {
        let keys = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../almadia-etcd/src/auth/token/test_keys"
        );
        let local = format!("https://127.0.0.1:{}", self.client_port(machine));
        let suites = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,\
                      TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        let token =
            format!("jwt,pub-key={keys}/rsa.pub,priv-key={keys}/rsa-pkcs1.pem,sign-method=RS512,ttl=10m");
        let on = || "true".to_owned();
        vec![
            ("advertise-client-urls", local.clone()),
            ("auth-token", token),
            ("cert-file", self.file("server", machine, "crt")),
            ("cipher-suites", suites.to_owned()),
            ("client-cert-auth", on()),
            ("data-dir", self.data_dir(machine)),
            ("enable-pprof", "false".to_owned()),
            ("initial-advertise-peer-urls", self.peer_url(machine)),
            ("key-file", self.file("server", machine, "key")),
            ("listen-client-urls", local),
            ("listen-peer-urls", self.peer_url(machine)),
            ("log-level", "info".to_owned()),
            ("name", name(machine)),
            ("peer-cert-file", self.file("peer", machine, "crt")),
            ("peer-client-cert-auth", on()),
            ("peer-key-file", self.file("peer", machine, "key")),
            ("peer-trusted-ca-file", self.office.text("ca.crt")),
            ("tls-min-version", "TLS1.2".to_owned()),
            ("trusted-ca-file", self.office.text("ca.crt")),
        ]
    }
}

fn address(machine: usize) -> String {
    format!("127.0.0.{}", machine + 2)
}

fn name(machine: usize) -> String {
    format!("control-plane-{machine}")
}

fn port_of(url: &str) -> &str {
    url.rsplit(':').next().unwrap()
}

/// The program by etcd's name, as installers call it.
fn etcd() -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg0("etcd");
    command
}

/// `--name=value` for each.
fn by_flags(settings: &Settings) -> Command {
    let mut command = etcd();
    command.args(settings.iter().map(|(name, value)| format!("--{name}={value}")));
    command
}

/// `ETCD_NAME=value` for each.
fn by_environment(settings: &Settings) -> Command {
    let mut command = etcd();
    for (name, value) in settings {
        command.env(format!("ETCD_{}", name.to_uppercase().replace('-', "_")), value);
    }
    command
}

/// Waits for an answer 200, as a probe does.
async fn probe(site: &Site, machine: usize, path: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = fetch(&site.metrics_url(machine), path);
        if answer.starts_with("HTTP/1.1 200") {
            return;
        }
        assert!(Instant::now() < deadline, "{path}: {answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// B11.1 to B11.3: `kubeadm init`, then `kubeadm join --control-plane` on another machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubeadm_s_static_pod_starts_and_a_second_joins() {
    let mut site = Site::new(2);
    let first = format!("{}={}", name(0), site.peer_url(0));
    let command = by_flags(&site.kubeadm(0, first.clone(), true));
    site.start(0, command);
    site.serves(0).await;
    for path in [
        "/livez",
        "/readyz",
        "/health?exclude=NOSPACE&serializable=true",
        "/health?serializable=false",
    ] {
        probe(&site, 0, path).await;
    }
    // What kubeadm does before it writes the second static pod, and after it runs.
    let second = site.peer_url(1);
    let added = site.almadia(&["member", "add", &name(1), "--learner", "--peer-urls", &second]);
    succeeded(&added);
    let both = format!("{first},{}={second}", name(1));
    let mut settings = site.kubeadm(1, both, false);
    settings.push(("initial-cluster-state", "existing".to_owned()));
    let command = by_flags(&settings);
    site.start(1, command);
    let listed = succeeded(&site.almadia(&["member", "list", "-o", "json"]));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let id = learner(&listed);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let promoted = site.almadia(&["member", "promote", &id]);
        if promoted.status.success() {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{}\n{}",
            String::from_utf8_lossy(&promoted.stderr),
            site.deployment.last_words()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    site.serves(1).await;
    probe(&site, 1, "/readyz").await;
}

/// The id of the one learner, as a command takes it.
fn learner(listed: &serde_json::Value) -> String {
    let members = listed["members"].as_array().unwrap();
    let learner = members.iter().find(|member| member["learner"] == true);
    let learner = learner.unwrap_or_else(|| panic!("no learner in {listed}"));
    learner["id"].as_str().unwrap().to_owned()
}

/// B11.1 to B11.3: the same settings in the environment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubeadm_s_settings_start_from_the_environment() {
    let mut site = Site::new(1);
    let all = format!("{}={}", name(0), site.peer_url(0));
    let command = by_environment(&site.kubeadm(0, all, true));
    site.start(0, command);
    site.serves(0).await;
    probe(&site, 0, "/readyz").await;
}

/// B11.1 to B11.5: k3s' config file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k3s_s_config_file_starts_a_member() {
    let mut site = Site::new(1);
    site.office.write("config", &site.k3s(0));
    let mut command = etcd();
    command.arg("--config-file").arg(site.office.path("config"));
    site.start(0, command);
    site.serves(0).await;
    // HTTP has an entrance of its own there, and k3s asks by gRPC alone.
    probe(&site, 0, "/health").await;
    let said = site.deployment.cluster.last_words(0, 500);
    let said: Vec<&String> = said.iter().filter(|line| line.contains("WARN")).collect();
    let of_settings = |line: &str| line.contains("no effect here");
    assert!(
        of_settings(said[0]) && !said[1..].iter().any(|line| of_settings(line)),
        "what has no effect is one line: {said:?}"
    );
}

/// B11.1 to B11.5, B6.6: k0s' command line, with its cipher suites and JSON Web Tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k0s_s_command_line_starts_a_member() {
    let mut site = Site::new(1);
    let command = by_flags(&site.k0s(0));
    site.start(0, command);
    let files = site.office.client("apiserver-etcd-client");
    let local = format!("https://127.0.0.1:{}", site.client_port(0));
    if let Err(error) = put_once(&[local], &files, "key", PATIENCE).await {
        panic!("{error}\n{}", site.deployment.last_words());
    }
}
