//! `almadia cert`: an authority and certificates for tests and small set-ups, and what stands in a certificate.
//!
//! It talks to no cluster and keeps no list of what it has issued: whoever runs many machines has an authority already.

use crate::commands::error::{CommandError, EXIT_OK};
use crate::commands::global::Output;
use crate::commands::output::Report;
use almadia_server::tls::certificate::{Facts, read_chain};
use almadia_server::tls::issue::{self, IssueError, Issued, Purpose, Wish};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes and shows certificates.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum CertCommand {
    /// Make an authority: ca.crt, which everybody may have, and ca.key, which nobody else may.
    #[command(after_help = "\
Examples:
  almadia cert ca --dir pki
  almadia cert ca --dir pki --name 'staging etcd' --days 730")]
    Ca(AuthorityArguments),
    /// Make a certificate for the client port of a member.
    #[command(after_help = "\
Examples:
  almadia cert server --dir pki --host almadia-0.almadia --host 10.0.0.1
  almadia server --cert-file pki/server.crt --key-file pki/server.key --listen-client-urls https://0.0.0.0:2379 …")]
    Server(HostArguments),
    /// Make a certificate by which members know each other.
    #[command(after_help = "\
Examples:
  almadia cert peer --dir pki --name almadia-0 --host almadia-0.almadia
  almadia server --peer-cert-file pki/peer.crt --peer-key-file pki/peer.key --peer-trusted-ca-file pki/ca.crt …")]
    Peer(HostArguments),
    /// Make a certificate for a user: its name is the user that --client-cert-auth lets in.
    #[command(after_help = "\
Examples:
  almadia cert client --dir pki --name ann
  almadia get color --cacert pki/ca.crt --cert pki/client.crt --key pki/client.key --endpoints https://almadia-0:2379")]
    Client(UserArguments),
    /// Make a list of certificates that are good no more, for --client-crl-file and --peer-crl-file.
    #[command(after_help = "\
Examples:
  almadia cert revoke --dir pki pki/ann.crt pki/bob.crt       all that are to be on the list, each time")]
    Revoke(RevokeArguments),
    /// Show what stands in certificates.
    #[command(after_help = "\
Examples:
  almadia cert show pki/server.crt
  almadia cert show pki/server.crt -o json | jq '.[0].not_after'")]
    Show(ShowArguments),
}

/// Where the files are.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// Where ca.crt and ca.key are, and where files are written.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Replace files that exist.
    #[arg(long)]
    pub force: bool,
}

/// An authority.
#[derive(Clone, Debug, clap::Args)]
pub struct AuthorityArguments {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// What it is called.
    #[arg(long, value_name = "NAME", default_value = "almadia CA")]
    pub name: String,
    /// How long it is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 3650)]
    pub days: u32,
}

/// A certificate for machines.
#[derive(Clone, Debug, clap::Args)]
pub struct HostArguments {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// A name or address it is valid for; may come several times, or with commas.
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',', required = true)]
    pub hosts: Vec<String>,
    /// Its common name [default: the first --host].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The files' name: FILE.crt and FILE.key [default: server or peer].
    #[arg(long, value_name = "FILE")]
    pub file: Option<String>,
    /// How long it is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    pub days: u32,
}

/// A certificate for a user.
#[derive(Clone, Debug, clap::Args)]
pub struct UserArguments {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// The user.
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// The files' name: FILE.crt and FILE.key [default: client].
    #[arg(long, value_name = "FILE")]
    pub file: Option<String>,
    /// How long it is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    pub days: u32,
}

/// Which are good no more.
#[derive(Clone, Debug, clap::Args)]
pub struct RevokeArguments {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// The list's file, in --dir.
    #[arg(long, value_name = "FILE", default_value = "ca.crl")]
    pub file: String,
    /// How long the list is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    pub days: u32,
    /// Certificates of this authority.
    #[arg(value_name = "CERTIFICATE")]
    pub certificates: Vec<PathBuf>,
}

/// Whose.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArguments {
    /// Files of certificates.
    #[arg(value_name = "CERTIFICATE", required = true)]
    pub certificates: Vec<PathBuf>,
}

/// Runs the command; says on standard error in one line why it did not succeed.
pub fn run(command: &CertCommand, output: Output) -> ExitCode {
    let done = execute(command).and_then(|report| {
        report.print(output)?;
        Ok(EXIT_OK)
    });
    crate::commands::finish(done)
}

fn execute(command: &CertCommand) -> Result<Report, CommandError> {
    match command {
        CertCommand::Ca(arguments) => {
            let made = issue::authority(&arguments.name, days(arguments.days)).map_err(failed)?;
            save_pair(&arguments.place, "ca", &made)
        }
        CertCommand::Server(arguments) => for_host(arguments, Purpose::Server, "server"),
        CertCommand::Peer(arguments) => for_host(arguments, Purpose::Peer, "peer"),
        CertCommand::Client(arguments) => {
            let wish = Wish {
                name: arguments.name.clone(),
                hosts: Vec::new(),
                purpose: Purpose::Client,
                validity: days(arguments.days),
            };
            let file = arguments.file.as_deref().unwrap_or("client");
            let made = issue::signed(&wish, &authority(&arguments.place.dir)?).map_err(failed)?;
            save_pair(&arguments.place, file, &made)
        }
        CertCommand::Revoke(arguments) => revoke(arguments),
        CertCommand::Show(arguments) => show(&arguments.certificates),
    }
}

fn for_host(arguments: &HostArguments, purpose: Purpose, usual_file: &str) -> Result<Report, CommandError> {
    let wish = Wish {
        name: arguments
            .name
            .clone()
            .unwrap_or_else(|| arguments.hosts[0].clone()),
        hosts: arguments.hosts.clone(),
        purpose,
        validity: days(arguments.days),
    };
    let made = issue::signed(&wish, &authority(&arguments.place.dir)?).map_err(failed)?;
    save_pair(
        &arguments.place,
        arguments.file.as_deref().unwrap_or(usual_file),
        &made,
    )
}

fn revoke(arguments: &RevokeArguments) -> Result<Report, CommandError> {
    let mut serials = Vec::new();
    for path in &arguments.certificates {
        serials.extend(read(path)?.iter().take(1).map(Facts::serial_bytes));
    }
    let list = issue::revocations(&authority(&arguments.place.dir)?, &serials, days(arguments.days))
        .map_err(failed)?;
    let path = arguments.place.dir.join(&arguments.file);
    // A list is made to be replaced by the next one.
    issue::save(&path, &list, false, true).map_err(failed)?;
    let text = format!("wrote {}: {} revoked\n", path.display(), serials.len());
    Ok(Report::new(
        text,
        json!({ "crl": path.display().to_string(), "revoked": serials.len() }),
    ))
}

fn days(count: u32) -> Duration {
    DAY * count
}

fn failed(error: IssueError) -> CommandError {
    CommandError::failed(error)
}

/// The authority's own files.
fn authority(directory: &Path) -> Result<Issued, CommandError> {
    let text = |name: &str| {
        let path = directory.join(name);
        std::fs::read_to_string(&path).map_err(|error| {
            CommandError::failed(format!(
                "cannot read {}: {error}; make an authority first: almadia cert ca --dir {}",
                path.display(),
                directory.display()
            ))
        })
    };
    Ok(Issued {
        certificate: text("ca.crt")?,
        key: text("ca.key")?,
    })
}

fn save_pair(place: &Place, name: &str, made: &Issued) -> Result<Report, CommandError> {
    let directory = &place.dir;
    std::fs::create_dir_all(directory)
        .map_err(|error| CommandError::failed(format!("cannot make {}: {error}", directory.display())))?;
    let certificate = directory.join(format!("{name}.crt"));
    let key = directory.join(format!("{name}.key"));
    // Both or none: a new key beside an old certificate serves nobody.
    if let Some(path) = [&certificate, &key]
        .into_iter()
        .find(|path| !place.force && path.exists())
    {
        return Err(failed(IssueError::Exists { path: path.clone() }));
    }
    issue::save(&key, &made.key, true, place.force).map_err(failed)?;
    issue::save(&certificate, &made.certificate, false, place.force).map_err(failed)?;
    let facts = read(&certificate)?;
    let text = format!(
        "wrote {} and {} (secret)\n{}",
        certificate.display(),
        key.display(),
        describe(&facts[0])
    );
    let json = json!({
        "certificate": certificate.display().to_string(),
        "key": key.display().to_string(),
        "shows": as_json(&facts[0]),
    });
    Ok(Report::new(text, json))
}

fn read(path: &Path) -> Result<Vec<Facts>, CommandError> {
    read_chain(path).map_err(|reason| CommandError::failed(format!("{}: {reason}", path.display())))
}

fn show(paths: &[PathBuf]) -> Result<Report, CommandError> {
    let (mut text, mut all) = (String::new(), Vec::new());
    for path in paths {
        for facts in read(path)? {
            let _ = writeln!(text, "{}", path.display());
            text += &describe(&facts);
            all.push(as_json(&facts));
        }
    }
    Ok(Report::new(text, Value::Array(all)))
}

fn describe(facts: &Facts) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<11} {value}");
    };
    line("subject", &facts.subject);
    line("issuer", &facts.issuer);
    line("serial", &facts.serial);
    line(
        "valid",
        &format!("{} to {}", facts.not_before_text(), facts.not_after_text()),
    );
    if !facts.hosts().is_empty() {
        line("hosts", &facts.hosts().join(", "));
    }
    let purpose = match (facts.is_authority, facts.usages.is_empty()) {
        (true, _) => "sign certificates".to_owned(),
        (false, true) => "anything".to_owned(),
        (false, false) => facts.usages.join(", "),
    };
    line("purpose", &purpose);
    text
}

fn as_json(facts: &Facts) -> Value {
    json!({
        "subject": facts.subject,
        "common_name": facts.common_name,
        "issuer": facts.issuer,
        "serial": facts.serial,
        "not_before": facts.not_before,
        "not_after": facts.not_after,
        "hosts": facts.hosts(),
        "is_authority": facts.is_authority,
        "usages": facts.usages,
    })
}
