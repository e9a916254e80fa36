//! Handshakes between our two ends over pipes in memory, with certificates of all kinds; files that are anything.

use super::acceptor::ALPN_CLIENTS;
use super::issue::{self, Issued, Purpose, Wish};
use super::live::Changing;
use super::*;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory with an authority.
pub(crate) struct Office {
    directory: tempfile::TempDir,
    authority: Issued,
}

impl Office {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Authorities of one name and different keys are not what these tests are about.
        let name = directory.path().display().to_string();
        let office = Self {
            directory,
            authority: issue::authority(&name, DAY).unwrap(),
        };
        office.write("ca.crt", &office.authority.certificate);
        office
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        issue::save(&self.path(name), text, true, true).unwrap();
    }

    /// Makes NAME.crt and NAME.key.
    pub(crate) fn issue(&self, name: &str, hosts: &[&str], purpose: Purpose) -> Issued {
        let made = issue::signed(&wish(name, hosts, purpose), &self.authority).unwrap();
        self.keep(name, &made);
        made
    }

    fn keep(&self, name: &str, made: &Issued) {
        self.write(&format!("{name}.crt"), &made.certificate);
        self.write(&format!("{name}.key"), &made.key);
    }

    /// A set that shows the certificate of this name and wants one of this office's.
    pub(crate) fn mutual(&self, scope: Scope, name: &str) -> TlsFiles {
        TlsFiles {
            scope,
            certificate: Some(self.path(&format!("{name}.crt"))),
            key: Some(self.path(&format!("{name}.key"))),
            trusted_ca: Some(self.path("ca.crt")),
            requires_client_certificate: true,
            ..TlsFiles::default()
        }
    }

    fn client(&self, name: Option<&str>) -> Connector {
        let path = |end: &str| name.map(|name| self.path(&format!("{name}.{end}")));
        let files = ClientFiles {
            trust: Trust::File(self.path("ca.crt")),
            certificate: path("crt"),
            key: path("key"),
        };
        Connector::for_clients(&files).unwrap()
    }

    fn revoke(&self, name: &str) {
        let facts = certificate::read_chain(&self.path(&format!("{name}.crt"))).unwrap();
        let list = issue::revocations(&self.authority, &[facts[0].serial_bytes()], DAY).unwrap();
        self.write("ca.crl", &list);
    }
}

fn wish(name: &str, hosts: &[&str], purpose: Purpose) -> Wish {
    Wish {
        name: name.to_owned(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        purpose,
        validity: DAY,
    }
}

fn open(files: TlsFiles) -> Result<Acceptor, String> {
    let settings = TlsSettings::default();
    files.check().map_err(|error| error.to_string())?;
    Acceptor::open(files, &settings, &ALPN_CLIENTS).map_err(|error| error.to_string())
}

type Met = (
    Result<Handshaken<DuplexStream>, HandshakeFailure>,
    Result<(), String>,
);

/// A handshake, and a byte in each direction: with TLS 1.3 the dialing end learns only by reading that it was refused.
async fn meet(acceptor: &Acceptor, connector: &Connector, host: &str) -> Met {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let listening = async {
        let mut shaken = acceptor.accept(here).await?;
        // The other end may have gone away already.
        let _ = shaken.stream.write_all(b"!").await;
        let _ = shaken.stream.flush().await;
        Ok(shaken)
    };
    let dialing = async {
        let protocols: [&[u8]; 1] = [b"h2"];
        let mut stream = connector
            .connect(host, there, &protocols)
            .await
            .map_err(|error| error.reason)?;
        let mut byte = [0];
        match stream.read_exact(&mut byte).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    };
    tokio::join!(listening, dialing)
}

fn refusal(met: Met) -> String {
    match met.0 {
        Ok(_) => panic!("let in"),
        Err(failure) => failure.to_string(),
    }
}

/// Row B12.1: a client with a good certificate is let in, and its name is its user (B6.7).
#[tokio::test]
async fn a_client_with_a_good_certificate_is_let_in() {
    let office = Office::new();
    office.issue("server", &["localhost", "127.0.0.1"], Purpose::Server);
    office.issue("ann", &[], Purpose::Client);
    let acceptor = open(office.mutual(Scope::Client, "server")).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let (shaken, dialed) = meet(&acceptor, &office.client(Some("ann")), host).await;
        assert_eq!(dialed, Ok(()));
        let shaken = shaken.unwrap();
        assert_eq!(shaken.stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let facts = shaken.certificate.unwrap();
        assert_eq!(acceptor.user(&facts), Some("ann".to_owned()));
    }
    // Named authorities ask for a certificate, but only the switch makes a user of its name.
    let trusting = TlsFiles {
        requires_client_certificate: false,
        ..office.mutual(Scope::Client, "server")
    };
    let acceptor = open(trusting).unwrap();
    let (shaken, _) = meet(&acceptor, &office.client(Some("ann")), "localhost").await;
    assert_eq!(acceptor.user(&shaken.unwrap().certificate.unwrap()), None);
    assert!(refusal(meet(&acceptor, &office.client(None), "localhost").await).contains("no certificate"));
}

/// Row B12.4: who is not let in, and why.
#[tokio::test]
async fn others_are_not_let_in() {
    let (office, stranger) = (Office::new(), Office::new());
    office.issue("server", &["localhost"], Purpose::Server);
    for name in ["ann", "bob"] {
        office.issue(name, &[], Purpose::Client);
    }
    let files = office.mutual(Scope::Client, "server");
    let acceptor = open(files.clone()).unwrap();
    assert!(refusal(meet(&acceptor, &office.client(None), "localhost").await).contains("no certificate"));

    let foreign = stranger.issue("ann", &[], Purpose::Client);
    office.keep("foreign", &foreign);
    let refused = refusal(meet(&acceptor, &office.client(Some("foreign")), "localhost").await);
    assert!(refused.contains("signed by nobody"), "{refused}");

    office.issue("wrong-use", &["localhost"], Purpose::Server);
    let refused = refusal(meet(&acceptor, &office.client(Some("wrong-use")), "localhost").await);
    assert!(refused.contains("TLS handshake"), "{refused}");

    office.revoke("bob");
    let listed = TlsFiles {
        revoked: Some(office.path("ca.crl")),
        ..files.clone()
    };
    let acceptor = open(listed).unwrap();
    let refused = refusal(meet(&acceptor, &office.client(Some("bob")), "localhost").await);
    assert!(refused.contains("revoked"), "{refused}");
    assert_eq!(
        meet(&acceptor, &office.client(Some("ann")), "localhost").await.1,
        Ok(())
    );
}

/// Row B12.4: allowed names and hosts.
#[tokio::test]
async fn rules_choose_among_good_certificates() {
    let office = Office::new();
    office.issue("server", &["localhost"], Purpose::Server);
    office.issue("m0", &["m0.example"], Purpose::Peer);
    office.issue("m1", &["m1.example"], Purpose::Peer);
    let by_name = TlsFiles {
        allowed_names: vec!["m0".to_owned(), "m7".to_owned()],
        ..office.mutual(Scope::Peer, "server")
    };
    let by_host = TlsFiles {
        allowed_hosts: vec!["m0.example".to_owned()],
        ..office.mutual(Scope::Peer, "server")
    };
    for files in [by_name, by_host] {
        let acceptor = open(files).unwrap();
        assert_eq!(
            meet(&acceptor, &office.client(Some("m0")), "localhost").await.1,
            Ok(())
        );
        let refused = refusal(meet(&acceptor, &office.client(Some("m1")), "localhost").await);
        assert!(refused.contains("allowed names"), "{refused}");
    }
}

/// The dialing end believes nobody who is not who it looks for.
#[tokio::test]
async fn a_member_must_be_who_was_dialed() {
    let (office, stranger) = (Office::new(), Office::new());
    office.issue("server", &["localhost"], Purpose::Server);
    let files = TlsFiles {
        trusted_ca: None,
        requires_client_certificate: false,
        ..office.mutual(Scope::Client, "server")
    };
    let acceptor = open(files).unwrap();
    let reason = |met: Met| met.1.unwrap_err();
    let wrong_name = reason(meet(&acceptor, &office.client(None), "almadia-0.example").await);
    assert!(
        wrong_name.contains("not valid for almadia-0.example"),
        "{wrong_name}"
    );
    let unknown = reason(meet(&acceptor, &stranger.client(None), "localhost").await);
    assert!(unknown.contains("signed by nobody"), "{unknown}");
}

/// Row B12.1: TLS 1.1 and plain text are refused, the latter in words that Go's clients know.
#[tokio::test]
async fn what_is_no_tls_of_today_is_refused() {
    let office = Office::new();
    office.issue("server", &["localhost"], Purpose::Server);
    let acceptor = open(office.mutual(Scope::Client, "server")).unwrap();
    let (here, mut there) = tokio::io::duplex(4096);
    let (failure, answer) = tokio::join!(acceptor.accept(here), async {
        there
            .write_all(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        there.read_to_string(&mut answer).await.unwrap();
        answer
    });
    assert_eq!(failure.unwrap_err(), HandshakeFailure::PlainText);
    // After the alert that TLS has for it.
    assert!(answer.contains("HTTP/1.0 400"), "{answer}");

    // A hello that ends at TLS 1.1: version 0x0302, 32 random bytes, no session, one cipher suite, no compression.
    let mut hello = vec![0x16, 0x03, 0x01, 0x00, 0x2d, 0x01, 0x00, 0x00, 0x29, 0x03, 0x02];
    hello.extend([7; 32]);
    hello.extend([0x00, 0x00, 0x02, 0xc0, 0x13, 0x01, 0x00]);
    let (here, mut there) = tokio::io::duplex(4096);
    let (failure, answer) = tokio::join!(acceptor.accept(here), async {
        there.write_all(&hello).await.unwrap();
        let mut answer = Vec::new();
        there.read_to_end(&mut answer).await.unwrap();
        answer
    });
    assert!(matches!(failure.unwrap_err(), HandshakeFailure::Refused(_)));
    // A fatal alert: handshake_failure, or protocol_version where the version is looked at before what the hello lacks.
    assert_eq!(&answer[..1], [0x15], "{answer:?}");
    assert!(matches!(answer[5..], [2, 40 | 70]), "{answer:?}");
}

/// Row B12.2: certificate, authority and revocation list are read again; a broken file leaves what was good.
#[tokio::test]
async fn files_are_read_again() {
    let (office, next) = (Office::new(), Office::new());
    office.issue("server", &["localhost"], Purpose::Server);
    office.issue("ann", &[], Purpose::Client);
    next.issue("ann", &[], Purpose::Client);
    office.write(
        "ca.crl",
        &issue::revocations(&office.authority, &[], DAY).unwrap(),
    );
    let files = TlsFiles {
        revoked: Some(office.path("ca.crl")),
        ..office.mutual(Scope::Client, "server")
    };
    let acceptor = open(files).unwrap();
    let ann = office.client(Some("ann"));
    assert_eq!(meet(&acceptor, &ann, "localhost").await.1, Ok(()));

    // A new certificate without its key is not taken over; with it, it is.
    let renewed = issue::signed(
        &wish("server", &["other.example"], Purpose::Server),
        &office.authority,
    )
    .unwrap();
    office.write("server.crt", &renewed.certificate);
    acceptor.look();
    assert_eq!(meet(&acceptor, &ann, "localhost").await.1, Ok(()));
    office.write("server.key", &renewed.key);
    acceptor.look();
    assert!(meet(&acceptor, &ann, "localhost").await.1.is_err());
    assert_eq!(meet(&acceptor, &ann, "other.example").await.1, Ok(()));

    office.write("ca.crt", "nothing");
    acceptor.look();
    assert_eq!(meet(&acceptor, &ann, "other.example").await.1, Ok(()));

    // Both authorities, then the new one alone.
    let both = format!("{}{}", office.authority.certificate, next.authority.certificate);
    office.write("ca.crt", &both);
    acceptor.look();
    let next_ann = ClientFiles {
        trust: Trust::File(office.path("ca.crt")),
        certificate: Some(next.path("ann.crt")),
        key: Some(next.path("ann.key")),
    };
    let next_ann = Connector::for_clients(&next_ann).unwrap();
    for client in [&ann, &next_ann] {
        assert_eq!(meet(&acceptor, client, "other.example").await.1, Ok(()));
    }
    office.revoke("ann");
    acceptor.look();
    assert!(refusal(meet(&acceptor, &ann, "other.example").await).contains("revoked"));
    assert_eq!(meet(&acceptor, &next_ann, "other.example").await.1, Ok(()));
    office.write("ca.crt", &next.authority.certificate);
    acceptor.look();
    assert!(refusal(meet(&acceptor, &ann, "other.example").await).contains("signed by nobody"));
}

/// What is said of files that are changed so.
fn complaint(good: &TlsFiles, change: &dyn Fn(&mut TlsFiles)) -> String {
    let mut files = good.clone();
    change(&mut files);
    let complaint = open(files).unwrap_err();
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    complaint
}

#[track_caller]
fn said(complaint: String, parts: &[&str]) {
    assert!(parts.iter().all(|part| complaint.contains(part)), "{complaint}");
}

/// Promise: a start fails with one line that names the file and what to do.
#[test]
fn what_is_wrong_with_a_file_is_said() {
    let office = Office::new();
    office.issue("server", &["localhost"], Purpose::Server);
    office.issue("other", &["localhost"], Purpose::Server);
    let good = office.mutual(Scope::Client, "server");
    let with = |change: &dyn Fn(&mut TlsFiles)| complaint(&good, change);
    let other_key = Some(office.path("other.key"));
    said(
        with(&|files| files.key.clone_from(&other_key)),
        &["--key-file", "other.key", "does not belong", "server.crt"],
    );
    said(
        with(&|files| files.key.clone_from(&files.certificate)),
        &["--key-file", "no private key", "it has a certificate"],
    );
    said(
        with(&|files| files.certificate = other_key.clone()),
        &["--cert-file", "no certificate", "it has a private key"],
    );
    said(
        with(&|files| files.trusted_ca = Some("/no/such".into())),
        &["--trusted-ca-file /no/such: there is no such file"],
    );
    said(with(&|files| files.key = None), &["--cert-file needs --key-file"]);
    said(
        with(&|files| files.trusted_ca = None),
        &["--client-cert-auth needs --trusted-ca-file"],
    );
    office.write("empty", "");
    said(
        with(&|files| files.trusted_ca = Some(office.path("empty"))),
        &["the file is empty"],
    );
    office.write("cut", "-----BEGIN CERTIFICATE-----\nMIIB");
    said(
        with(&|files| files.certificate = Some(office.path("cut"))),
        &["cut off"],
    );
    office.write(
        "secret",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    said(
        with(&|files| files.key = Some(office.path("secret"))),
        &["passphrase"],
    );
    office.write(
        "ca.crl",
        "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n",
    );
    said(
        with(&|files| files.revoked = Some(office.path("ca.crl"))),
        &["--client-crl-file", "cannot be used"],
    );
}

/// Promise: a certificate that has expired is no start; it was made by hand, since nothing here makes such a thing.
#[test]
fn an_expired_certificate_is_said_to_be_so() {
    let office = Office::new();
    office.issue("server", &["localhost"], Purpose::Server);
    let good = office.mutual(Scope::Client, "server");
    let with = |change: &dyn Fn(&mut TlsFiles)| complaint(&good, change);
    let old = expired();
    office.write("old.crt", &old.certificate);
    office.write("old.key", &old.key);
    said(
        with(&|files| {
            files.certificate = Some(office.path("old.crt"));
            files.key = Some(office.path("old.key"));
        }),
        &["old.crt", "has expired on", "2000"],
    );
    said(
        with(&|files| files.trusted_ca = Some(office.path("old.crt"))),
        &["--trusted-ca-file", "has expired on", "2000"],
    );
}

fn expired() -> Issued {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(1999, 1, 1);
    params.not_after = rcgen::date_time_ymd(2000, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    Issued {
        certificate: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// An expired certificate opens nothing: neither a client's nor a member's.
#[tokio::test]
async fn expired_certificates_are_refused_in_handshakes() {
    let office = Office::new();
    office.issue("server", &["localhost"], Purpose::Server);
    // Nobody starts with an expired certificate; it expires while it is in use. The verifiers are asked directly.
    let old = expired();
    office.write("old.crt", &old.certificate);
    let chain = pem::Named::new("", &office.path("old.crt"));
    let certificate = chain.certificates(old.certificate.as_bytes()).unwrap().remove(0);
    let mut authorities = tokio_rustls::rustls::RootCertStore::empty();
    authorities.add(certificate.clone()).unwrap();
    let provider = suites::provider(&TlsSettings::default());
    let verifier =
        trust::client_verifier(Arc::new(authorities), None, trust::Rules::default(), provider).unwrap();
    let now = tokio_rustls::rustls::pki_types::UnixTime::now();
    let refused = verifier.verify_client_cert(&certificate, &[], now).unwrap_err();
    assert!(refused.to_string().contains("expired"), "{refused}");
}

/// Row B12.3: auto-TLS makes a certificate once, keeps it, and makes another when it is for other hosts.
#[test]
fn a_self_made_certificate_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let automatic = TlsFiles {
        is_automatic: true,
        ..TlsFiles::default()
    };
    let settings = TlsSettings {
        self_signed_years: 3,
        ..TlsSettings::default()
    };
    let make = |host: &str| {
        let files = auto::complete(&automatic, &settings, directory.path(), &[host.to_owned()]).unwrap();
        let path = files.unwrap().certificate.unwrap();
        certificate::read_chain(&path).unwrap().remove(0)
    };
    let first = make("127.0.0.1");
    assert_eq!(first, make("127.0.0.1"));
    let years = (first.not_after - certificate::now()) / (365 * 24 * 60 * 60);
    assert!((2..=3).contains(&years), "{years}");
    let other = make("m0.example");
    assert_eq!(other.dns_names, ["m0.example"]);
    let key = directory.path().join("tls/client/key.pem");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let check = |change: &dyn Fn(&mut TlsSettings), part: &str| {
        let mut settings = TlsSettings::default();
        change(&mut settings);
        let complaint = settings.check().unwrap_err().to_string();
        assert!(complaint.contains(part), "{complaint}");
    };
    check(
        &|tls| {
            tls.version_min = Version::Tls13;
            tls.version_max = Version::Tls12;
        },
        "--tls-min-version is above",
    );
    check(
        &|tls| {
            tls.version_min = Version::Tls13;
            tls.cipher_suites = CipherSuite::parse_list("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
                .unwrap()
                .0;
        },
        "--cipher-suites",
    );
    check(
        &|tls| {
            tls.peer.allowed_names = vec!["a".to_owned()];
            tls.peer.allowed_hosts = vec!["b".to_owned()];
        },
        "--peer-cert-allowed-cn and --peer-cert-allowed-hostname exclude each other",
    );
    check(
        &|tls| {
            tls.peer.certificate = Some("c".into());
            tls.peer.key = Some("k".into());
        },
        "--peer-trusted-ca-file",
    );
    check(&|tls| tls.client.revoked = Some("r".into()), "--trusted-ca-file");
}

proptest! {
    /// Promise: whatever is in a file, its reader ends with certificates, a key, a list, or one line.
    #[test]
    fn readers_of_files_take_anything(bytes in anything()) {
        let named = pem::Named::new("--cert-file", Path::new("f"));
        let complaints = [
            named.chain(&bytes).err(),
            named.key(&bytes).err(),
            named.revocations(&bytes).err(),
            trust::authorities(&named, &bytes).err(),
        ];
        for complaint in complaints.into_iter().flatten() {
            prop_assert!(complaint.to_string().starts_with("--cert-file f: "));
            prop_assert!(!complaint.to_string().contains('\n'));
        }
    }

    /// A good certificate with one byte changed is read or refused, never worse.
    #[test]
    fn a_changed_certificate_is_read_or_refused(at in 0usize..1000, to in any::<u8>()) {
        let made = issue::authority("a", DAY).unwrap();
        let named = pem::Named::new("", Path::new("f"));
        let mut der = named.certificates(made.certificate.as_bytes()).unwrap().remove(0).to_vec();
        let at = at % der.len();
        der[at] = to;
        let _ = certificate::Facts::read(&der.into());
    }
}

/// Bytes, and parts of PEM in any order.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        any::<Vec<u8>>(),
        Just(b"-----BEGIN CERTIFICATE-----\n".to_vec()),
        Just(b"-----END CERTIFICATE-----\n".to_vec()),
        Just(b"-----BEGIN PRIVATE KEY-----\n".to_vec()),
        Just(b"-----END PRIVATE KEY-----\n".to_vec()),
        Just(b"-----BEGIN X509 CRL-----\n".to_vec()),
        Just(b"-----END X509 CRL-----\n".to_vec()),
        Just(b"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n".to_vec()),
    ];
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}
