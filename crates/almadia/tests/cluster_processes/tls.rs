//! TLS with real processes: members that know each other and their clients by certificates, which change while they serve
//! (B12.1, B12.2, B12.4), users by certificate name (B6.7), certificates of the program's own making (B12.3), unix sockets (B9.8).

use crate::deployment::{Deployment, PATIENCE, PROGRAM, succeeded};
use almadia::commands::cluster::{Cluster, Repeat, request};
use almadia::commands::global::{Global, Output as Format};
use almadia::commands::tls::TlsArguments;
use almadia::demo::writer::Writers;
use almadia_etcd::proto::etcdserverpb::PutRequest;
use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_server::tls::certificate::{Facts, read_chain};
use almadia_server::tls::issue::{self, Issued, Purpose, Wish};
use almadia_server::tls::{ClientFiles, Connector, Trust};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An authority's office: where certificates are made, and read by members.
pub struct Office {
    directory: TempDir,
}

impl Office {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, text: &str) {
        issue::save(&self.path(name), text, true, true).unwrap();
    }

    /// NAME.crt and NAME.key, the key first: a member that looks in between keeps what it has.
    fn issue(&self, name: &str, authority: &Issued, purpose: Purpose) {
        let hosts: &[&str] = match purpose {
            Purpose::Client => &[],
            Purpose::Server | Purpose::Peer => &["127.0.0.1", "localhost"],
        };
        self.issue_for(name, authority, purpose, hosts);
    }

    /// The same for these hosts.
    pub fn issue_for(&self, name: &str, authority: &Issued, purpose: Purpose, hosts: &[&str]) {
        let wish = Wish {
            name: name.to_owned(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            purpose,
            validity: DAY,
        };
        let made = issue::signed(&wish, authority).unwrap();
        self.write(&format!("{name}.key"), &made.key);
        self.write(&format!("{name}.crt"), &made.certificate);
    }

    /// What a client that shows this certificate says on its command line.
    pub fn client(&self, name: &str) -> TlsArguments {
        TlsArguments {
            cacert: Some(self.path("clients-believe.crt")),
            cert: Some(self.path(&format!("{name}.crt"))),
            key: Some(self.path(&format!("{name}.key"))),
            ..TlsArguments::default()
        }
    }

    /// What a member says on its command line.
    fn member(&self) -> Vec<String> {
        let pairs = [
            ("--cert-file", "server.crt"),
            ("--key-file", "server.key"),
            ("--trusted-ca-file", "ca.crt"),
            ("--peer-cert-file", "peer.crt"),
            ("--peer-key-file", "peer.key"),
            ("--peer-trusted-ca-file", "ca.crt"),
        ];
        let mut words = vec![
            "--client-cert-auth".to_owned(),
            "--peer-client-cert-auth".to_owned(),
        ];
        words.extend(
            pairs
                .into_iter()
                .map(|(flag, file)| format!("{flag}={}", self.text(file))),
        );
        words
    }
}

/// Members with TLS for clients and peers.
struct Secured {
    deployment: Deployment,
    urls: Vec<String>,
    peers: Vec<String>,
    initial: String,
}

impl Secured {
    fn start(count: usize, words: &[String]) -> Self {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let deployment = Deployment::planned_with(count, &words);
        let secure = |url: &str| url.replace("http://", "https://");
        let members = deployment.cluster.members();
        let peers: Vec<String> = members.iter().map(|member| secure(&member.peer_url)).collect();
        let urls: Vec<String> = members.iter().map(|member| secure(&member.client_url)).collect();
        let initial: Vec<String> = members
            .iter()
            .zip(&peers)
            .map(|(member, url)| format!("{}={url}", member.name))
            .collect();
        let mut secured = Self {
            deployment,
            urls,
            peers,
            initial: initial.join(","),
        };
        for ordinal in 0..count {
            secured.start_one(ordinal);
        }
        secured
    }

    fn start_one(&mut self, ordinal: usize) {
        let mut command = self.deployment.cluster.command(ordinal);
        // The last of several wins.
        command
            .args(["--listen-client-urls", &self.urls[ordinal]])
            .args(["--advertise-client-urls", &self.urls[ordinal]])
            .args(["--listen-peer-urls", &self.peers[ordinal]])
            .args(["--initial-advertise-peer-urls", &self.peers[ordinal]])
            .args(["--initial-cluster", &self.initial]);
        self.deployment.cluster.start_as(ordinal, command).unwrap();
    }

    /// Runs a client command.
    fn almadia(&self, tls: &TlsArguments, words: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(words).args(["--endpoints", &self.urls.join(",")]);
        for (flag, path) in [
            ("--cacert", &tls.cacert),
            ("--cert", &tls.cert),
            ("--key", &tls.key),
        ] {
            if let Some(path) = path {
                command.arg(flag).arg(path);
            }
        }
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Waits until a client is served.
    async fn serves(&self, tls: &TlsArguments) {
        if let Err(error) = put_once(&self.urls, tls, "ready", PATIENCE).await {
            panic!("{error}\n{}", self.deployment.last_words());
        }
    }
}

/// One write over a connection of its own.
pub async fn put_once(
    urls: &[String],
    tls: &TlsArguments,
    key: &str,
    timeout: Duration,
) -> Result<(), String> {
    let global = Global {
        endpoints: urls.to_vec(),
        timeout,
        output: Format::Text,
        tls: tls.clone(),
    };
    let cluster = Cluster::new(&global).map_err(|error| error.to_string())?;
    let put = PutRequest {
        key: key.to_owned().into(),
        value: "v".into(),
        ..PutRequest::default()
    };
    let call = |channel| {
        let message = request(put.clone());
        async move { KvClient::new(channel).put(message).await }
    };
    let done = cluster.call(Repeat::OnlyIfNotCarriedOut, call).await;
    done.map(|_| ()).map_err(|error| error.to_string())
}

/// The certificate that a member shows now to a client with these files.
async fn shown(url: &str, files: &TlsArguments) -> Result<Facts, String> {
    let files = ClientFiles {
        trust: Trust::File(files.cacert.clone().unwrap()),
        certificate: files.cert.clone(),
        key: files.key.clone(),
    };
    let connector = Connector::for_clients(&files).map_err(|error| error.to_string())?;
    let authority = url.trim_start_matches("https://");
    let stream = TcpStream::connect(authority)
        .await
        .map_err(|error| error.to_string())?;
    let connected = connector.connect("127.0.0.1", stream, &[b"h2"]).await;
    let stream = connected.map_err(|error| error.reason)?;
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    Facts::read(&chain[0])
}

/// Waits until every member shows the certificate of this file.
async fn shows(secured: &Secured, files: &TlsArguments, path: &Path) {
    let wanted = read_chain(path).unwrap().remove(0);
    for url in &secured.urls {
        let deadline = Instant::now() + PATIENCE;
        while shown(url, files).await.ok().as_ref() != Some(&wanted) {
            assert!(
                Instant::now() < deadline,
                "{url} does not show {wanted:?}\n{}",
                secured.deployment.last_words()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Waits until every member refuses, or lets in again, a client with these files.
async fn lets_in(secured: &Secured, files: &TlsArguments, wanted: bool) {
    for url in &secured.urls {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let served = put_once(std::slice::from_ref(url), files, "probe", Duration::from_secs(2)).await;
            if served.is_ok() == wanted {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{url}: {served:?}\n{}",
                secured.deployment.last_words()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// B12.1, B12.2: members over mutual TLS form a cluster; certificates, then the authority, are exchanged under load, and no
/// request fails, neither on old connections nor on new ones. In the end the old authority opens nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_their_authority_are_exchanged_under_load() {
    let office = Office::new();
    let old = issue::authority("the old office", DAY).unwrap();
    let new = issue::authority("the new office", DAY).unwrap();
    office.write("ca.crt", &old.certificate);
    office.write(
        "clients-believe.crt",
        &format!("{}{}", old.certificate, new.certificate),
    );
    office.issue("server", &old, Purpose::Server);
    office.issue("peer", &old, Purpose::Peer);
    office.issue("client-old", &old, Purpose::Client);
    office.issue("client-new", &new, Purpose::Client);
    let (old_client, new_client) = (office.client("client-old"), office.client("client-new"));
    let mut secured = Secured::start(3, &office.member());
    secured.serves(&old_client).await;

    let writers = Writers::start_with(&secured.urls, &old_client, "w", 2).unwrap();
    let urls = secured.urls.clone();
    let newcomers = |tls: TlsArguments| newcomers(urls.clone(), tls);

    // A new certificate by the same authority.
    let coming = newcomers(old_client.clone());
    office.issue("server", &old, Purpose::Server);
    office.issue("peer", &old, Purpose::Peer);
    shows(&secured, &old_client, &office.path("server.crt")).await;
    assert_eq!(coming.await.unwrap(), Vec::<String>::new());

    // Both authorities are believed, then certificates are of the new one.
    let coming = newcomers(old_client.clone());
    office.write("ca.crt", &format!("{}{}", old.certificate, new.certificate));
    lets_in(&secured, &new_client, true).await;
    office.issue("server", &new, Purpose::Server);
    office.issue("peer", &new, Purpose::Peer);
    shows(&secured, &old_client, &office.path("server.crt")).await;
    assert_eq!(coming.await.unwrap(), Vec::<String>::new());

    // The new one alone. Whoever has a connection keeps it.
    let coming = newcomers(new_client.clone());
    office.write("ca.crt", &new.certificate);
    lets_in(&secured, &old_client, false).await;
    assert_eq!(coming.await.unwrap(), Vec::<String>::new());
    let journal = writers.stop().await;
    assert!(
        journal.refused.is_empty() && journal.unknown.is_empty(),
        "a client saw an error: {:?} {:?}",
        journal.refused,
        journal.unknown
    );
    assert_eq!(journal.violations, Vec::<String>::new());
    assert!(!journal.acknowledged.is_empty());

    peers_come_back(&mut secured, &new_client).await;

    // A broken file is said once, and what was good stays.
    office.write("server.crt", "nothing");
    secured
        .deployment
        .says(0, "cannot be used; those of before stay in use")
        .await;
    lets_in(&secured, &new_client, true).await;
}

/// Peers, too, know each other by the new authority alone: a member whose connections are gone comes back, and answers what takes
/// a majority while another is away.
async fn peers_come_back(secured: &mut Secured, client: &TlsArguments) {
    secured.deployment.cluster.kill(&[2]);
    secured.start_one(2);
    lets_in(secured, client, true).await;
    secured.deployment.cluster.kill(&[1]);
    put_once(&secured.urls[2..], client, "back", PATIENCE)
        .await
        .unwrap();
    secured.start_one(1);
    lets_in(secured, client, true).await;
}

/// Comes with many connections, one after the other; what went wrong.
fn newcomers(urls: Vec<String>, tls: TlsArguments) -> JoinHandle<Vec<String>> {
    tokio::spawn(async move {
        let mut failed = Vec::new();
        for _ in 0..NEWCOMERS {
            if let Err(error) = put_once(&urls, &tls, "newcomer", Duration::from_secs(10)).await {
                failed.push(error);
            }
        }
        failed
    })
}

/// How many connections are made during each step of an exchange.
const NEWCOMERS: u32 = 40;

/// B6.7: the name in a client's certificate is its user; a token goes before it, and the user's rights are looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_s_name_is_a_user() {
    let office = Office::new();
    let authority = issue::authority("the office", DAY).unwrap();
    office.write("ca.crt", &authority.certificate);
    office.write("clients-believe.crt", &authority.certificate);
    office.issue("server", &authority, Purpose::Server);
    office.issue("peer", &authority, Purpose::Peer);
    for user in ["root", "ann", "eve"] {
        office.issue(user, &authority, Purpose::Client);
    }
    let (root, ann, eve) = (office.client("root"), office.client("ann"), office.client("eve"));
    let secured = Secured::start(1, &office.member());
    secured.serves(&root).await;
    for words in [
        "user add root --no-password",
        "user grant-role root root",
        "user add ann --no-password",
        "role add reader",
        "role grant reader readwrite --prefix app/",
        "user grant-role ann reader",
        "auth enable",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        succeeded(&secured.almadia(&root, &words));
    }
    succeeded(&secured.almadia(&ann, &["put", "app/color", "red"]));
    assert_eq!(succeeded(&secured.almadia(&ann, &["get", "app/color"])), "red\n");
    let complaint = |output: Output| {
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let refused = complaint(secured.almadia(&ann, &["put", "other", "x"]));
    assert!(refused.contains("permission denied"), "{refused}");
    // A good certificate of somebody who is no user.
    let refused = complaint(secured.almadia(&eve, &["get", "app/color"]));
    assert!(refused.contains("permission denied"), "{refused}");
    succeeded(&secured.almadia(&root, &["user", "list"]));
}

/// The usual mistakes end with one line that says what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_usual_mistakes_are_explained() {
    let (office, stranger) = (Office::new(), Office::new());
    let authority = issue::authority("the office", DAY).unwrap();
    let other = issue::authority("somebody else", DAY).unwrap();
    office.write("ca.crt", &authority.certificate);
    office.write("clients-believe.crt", &authority.certificate);
    stranger.write("clients-believe.crt", &other.certificate);
    office.issue("server", &authority, Purpose::Server);
    office.issue("peer", &authority, Purpose::Peer);
    office.issue("ann", &authority, Purpose::Client);
    stranger.issue("ann", &other, Purpose::Client);
    let good = office.client("ann");
    let secured = Secured::start(1, &office.member());
    secured.serves(&good).await;
    let says = |tls: &TlsArguments, part: &str| {
        let output = secured.almadia(tls, &["get", "a", "--timeout", "3s"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(part), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    };
    let with = |change: &dyn Fn(&mut TlsArguments)| {
        let mut tls = good.clone();
        change(&mut tls);
        tls
    };
    says(
        &with(&|tls| tls.cacert = stranger.client("ann").cacert),
        "signed by nobody",
    );
    says(
        &with(&|tls| {
            tls.cert = None;
            tls.key = None;
        }),
        "give --cert and --key",
    );
    says(
        &with(&|tls| {
            tls.cert = stranger.client("ann").cert;
            tls.key = stranger.client("ann").key;
        }),
        "does not believe our certificate",
    );
    says(&with(&|tls| tls.key = None), "--cert and --key need each other");
    says(
        &with(&|tls| tls.cacert = Some("/no/such".into())),
        "/no/such: there is no such file",
    );
}

/// Plain text on a port that wants TLS, and the reverse, end with one line, too; the member says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_mix_up_http_and_https_are_told() {
    let secured = Secured::start(1, &["--auto-tls".to_owned(), "--peer-auto-tls".to_owned()]);
    let anybody = TlsArguments {
        insecure_skip_tls_verify: Some(true),
        ..TlsArguments::default()
    };
    secured.serves(&anybody).await;
    let plain_words = ["put", "a", "b", "--timeout", "3s", "--endpoints"];
    let plain_url = secured.urls[0].replace("https://", "http://");
    let output = Command::new(PROGRAM)
        .args(plain_words)
        .arg(&plain_url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("it speaks TLS; write https://"), "{text}");
    secured
        .deployment
        .says(0, "does not speak TLS, which this port wants")
        .await;
    let mut plain = Deployment::planned(1);
    plain.cluster.start_all().unwrap();
    plain.leader_above(0).await;
    let words = [
        "put",
        "a",
        "b",
        "--timeout",
        "3s",
        "--insecure-skip-tls-verify",
        "--endpoints",
    ];
    let url = plain.urls[0].replace("http://", "https://");
    let output = Command::new(PROGRAM).args(words).arg(&url).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("use http:// instead"), "{text}");
}

/// B12.3, B9.8: members with certificates of their own making form a cluster, and serve by a unix socket, too; etcdctl's
/// variables mean what they mean there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_their_own_making_are_enough_to_begin() {
    let words = ["--auto-tls".to_owned(), "--peer-auto-tls".to_owned()];
    let secured = Secured::start(3, &words);
    let anybody = TlsArguments {
        insecure_skip_tls_verify: Some(true),
        ..TlsArguments::default()
    };
    secured.serves(&anybody).await;
    let output = Command::new(PROGRAM)
        .args(["get", "ready"])
        .env("ETCDCTL_ENDPOINTS", secured.urls.join(","))
        .env("ETCDCTL_INSECURE_SKIP_TLS_VERIFY", "true")
        .output()
        .unwrap();
    assert_eq!(succeeded(&output), "v\n");
    let made = secured.deployment.cluster.members()[0]
        .data_dir
        .join("tls/client/cert.pem");
    let believing = TlsArguments {
        cacert: Some(made),
        ..TlsArguments::default()
    };
    let first = &secured.urls[..1];
    put_once(first, &believing, "k", PATIENCE).await.unwrap();
}

/// etcdctl works with --cacert --cert --key, where ALMADIA_ETCDCTL_BIN names one; so does `openssl s_client`, where there is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_programs_shake_hands() {
    let office = Office::new();
    let authority = issue::authority("the office", DAY).unwrap();
    office.write("ca.crt", &authority.certificate);
    office.write("clients-believe.crt", &authority.certificate);
    office.issue("server", &authority, Purpose::Server);
    office.issue("peer", &authority, Purpose::Peer);
    office.issue("ann", &authority, Purpose::Client);
    let secured = Secured::start(1, &office.member());
    secured.serves(&office.client("ann")).await;
    if let Ok(program) = std::env::var("ALMADIA_ETCDCTL_BIN") {
        let run = |words: &[&str]| {
            Command::new(&program)
                .args(["--endpoints", &secured.urls[0]])
                .args(["--cacert", &office.text("clients-believe.crt")])
                .args([
                    "--cert",
                    &office.text("ann.crt"),
                    "--key",
                    &office.text("ann.key"),
                ])
                .args(words)
                .output()
                .unwrap()
        };
        assert_eq!(succeeded(&run(&["put", "a", "1"])), "OK\n");
        assert_eq!(succeeded(&run(&["get", "a"])), "a\n1\n");
    } else {
        println!("SKIPPED: ALMADIA_ETCDCTL_BIN does not name an etcdctl");
    }
    for (version, expected) in [("-tls1_2", true), ("-tls1_3", true), ("-tls1_1", false)] {
        let run = Command::new("openssl")
            .args([
                "s_client",
                version,
                "-alpn",
                "h2",
                "-verify_return_error",
                "-connect",
            ])
            .arg(secured.urls[0].trim_start_matches("https://"))
            .args(["-CAfile", &office.text("clients-believe.crt")])
            .args(["-cert", &office.text("ann.crt"), "-key", &office.text("ann.key")])
            .stdin(Stdio::null())
            .output();
        let Ok(output) = run else {
            println!("SKIPPED: there is no openssl on this machine");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let agreed = text.contains("ALPN protocol: h2") && text.contains("Verify return code: 0 (ok)");
        assert_eq!(
            agreed,
            expected,
            "{version}: {text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
