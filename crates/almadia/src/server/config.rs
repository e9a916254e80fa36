//! What `almadia server` was told, checked: every value is in its range and all of them go together. Each complaint is one
//! line that names the setting as it was written and what is allowed. It opens no file and no socket.

use super::table::{SETTINGS, Treatment};
use super::url::{self, Url};
use super::values::{Values, asks_for_nothing};
use super::{ConfigError, duration, group};
use almadia_command::GroupId;
use std::path::PathBuf;
use std::time::Duration;

/// etcd's own bounds and defaults.
const ELECTION_MS_DEFAULT: u64 = 1000;
const ELECTION_MS_MAX: u64 = 50_000;
const HEARTBEAT_MS_DEFAULT: u64 = 100;
const TXN_OPERATIONS_DEFAULT: u64 = 128;
const REQUEST_BYTES_DEFAULT: u64 = 1536 * 1024;

/// A request travels between members in one frame; this leaves room in it for everything around the request.
const REQUEST_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// More members make a cluster slower and not safer.
const MEMBERS_MAX: usize = 9;

/// Peer names stand in messages and files.
const NAME_BYTES_MAX: usize = 253;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Console,
    /// One JSON object a line.
    Json,
}

/// One member of `--initial-cluster`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialMember {
    /// Its `--name`.
    pub name: String,
    /// Its peer URLs, at least one.
    pub urls: Vec<Url>,
}

/// Checked settings of one member.
///
/// Invariants: `initial_cluster` names every member once, this one among them with `advertise_peer`; no list of URLs is
/// empty; advertised addresses are no wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// This member's name.
    pub name: String,
    /// Where its data lies.
    pub data_dir: PathBuf,
    /// The deployment.
    pub group: GroupId,
    /// Where clients are listened for.
    pub listen_client: Vec<Url>,
    /// Where clients are told to come.
    pub advertise_client: Vec<Url>,
    /// Where peers are listened for.
    pub listen_peer: Vec<Url>,
    /// Where peers are told to come.
    pub advertise_peer: Vec<Url>,
    /// All members, in the order they were written.
    pub initial_cluster: Vec<InitialMember>,
    /// False with `--initial-cluster-state existing`: then it waits to be admitted.
    pub may_found: bool,
    /// etcd's heartbeat interval.
    pub heartbeat_ms: u64,
    /// etcd's election timeout T.
    pub election_ms: u64,
    /// Largest request.
    pub request_bytes_max: usize,
    /// Most operations of a transaction.
    pub txn_operations_max: usize,
    /// Most requests in flight on a connection.
    pub concurrent_streams_max: u32,
    /// Silence after which a client is asked for a sign of life; zero: never.
    pub keepalive_interval: Duration,
    /// How long it may take to answer.
    pub keepalive_timeout: Duration,
    /// The least important messages that are logged.
    pub log_level: tracing::Level,
    /// How they are written.
    pub log_format: LogFormat,
    /// What the operator should know, one line each.
    pub warnings: Vec<String>,
}

impl ServerConfig {
    /// Checks what was written.
    ///
    /// # Errors
    /// The first thing that is wrong, in one line.
    pub fn from_values(values: &Values) -> Result<Self, ConfigError> {
        refuse(values)?;
        let name = checked_name(values)?;
        let data_dir = values
            .text("data-dir")
            .map_or_else(|| format!("{name}.almadia"), str::to_owned);
        let listen_peer = urls(values, "listen-peer-urls", "http://localhost:2380")?;
        let listen_client = urls(values, "listen-client-urls", "http://localhost:2379")?;
        let written_cluster = written_cluster(values)?;
        let advertise_peer = advertise_peer(values, &name, written_cluster.as_deref(), &listen_peer)?;
        let own = InitialMember {
            name: name.clone(),
            urls: advertise_peer.clone(),
        };
        let initial_cluster = written_cluster.unwrap_or_else(|| vec![own]);
        check_cluster(values, &name, &advertise_peer, &initial_cluster)?;
        let (heartbeat_ms, election_ms) = timers(values)?;
        let request_bytes_max = number(
            values,
            "max-request-bytes",
            REQUEST_BYTES_DEFAULT,
            1,
            REQUEST_BYTES_MAX,
        )?;
        let txn_operations_max = number(values, "max-txn-ops", TXN_OPERATIONS_DEFAULT, 1, 65_536)?;
        let streams_max = u64::from(u32::MAX);
        let concurrent_streams_max = number(values, "max-concurrent-streams", streams_max, 1, streams_max)?;
        Ok(Self {
            data_dir: PathBuf::from(data_dir),
            group: checked_group(values)?,
            advertise_client: advertise_client(values, &listen_client)?,
            listen_client,
            listen_peer,
            advertise_peer,
            initial_cluster,
            may_found: may_found(values)?,
            heartbeat_ms,
            election_ms,
            request_bytes_max: usize::try_from(request_bytes_max).expect("at most 4 MiB"),
            txn_operations_max: usize::try_from(txn_operations_max).expect("at most 65536"),
            concurrent_streams_max: u32::try_from(concurrent_streams_max).expect("bounded by u32::MAX"),
            keepalive_interval: checked_duration(
                values,
                "grpc-keepalive-interval",
                Duration::from_secs(2 * 60 * 60),
            )?,
            keepalive_timeout: checked_duration(values, "grpc-keepalive-timeout", Duration::from_secs(20))?,
            log_level: log_level(values)?,
            log_format: log_format(values)?,
            warnings: warnings(values),
            name,
        })
    }
}

fn complain(values: &Values, name: &str, allowed: &str) -> ConfigError {
    ConfigError::new(format!("{}: {allowed}", values.wording(name)))
}

/// What must not be ignored.
fn refuse(values: &Values) -> Result<(), ConfigError> {
    for (setting, text) in values.iter() {
        if let Treatment::Refused(reason) = setting.treatment
            && !asks_for_nothing(setting, text)
        {
            return Err(complain(values, setting.name, reason));
        }
    }
    Ok(())
}

/// What the operator should know: how values were read, and which of them have no effect.
fn warnings(values: &Values) -> Vec<String> {
    let mut warnings = values.warnings.clone();
    let ignored: Vec<String> = SETTINGS
        .iter()
        .filter(|setting| {
            values
                .text(setting.name)
                .is_some_and(|text| !asks_for_nothing(setting, text))
        })
        .filter_map(|setting| match setting.treatment {
            Treatment::Ignored(reason) => Some(format!("--{} ({reason})", setting.name)),
            Treatment::Used | Treatment::Refused(_) => None,
        })
        .collect();
    if !ignored.is_empty() {
        warnings.push(format!(
            "settings of etcd that have no effect here: {}",
            ignored.join(", ")
        ));
    }
    warnings
}

fn checked_name(values: &Values) -> Result<String, ConfigError> {
    let name = values.text("name").unwrap_or("default");
    let good = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.contains([',', '=', '/'])
        && !name.contains(char::is_control);
    if good {
        Ok(name.to_owned())
    } else {
        Err(complain(
            values,
            "name",
            "allowed are 1 to 253 bytes without `,`, `=` and `/`",
        ))
    }
}

fn checked_group(values: &Values) -> Result<GroupId, ConfigError> {
    if let Some(text) = values.text("group") {
        return group::from_uuid(text)
            .ok_or_else(|| complain(values, "group", "allowed is a UUID that is not all zero"));
    }
    let token = values.text("initial-cluster-token").unwrap_or("etcd-cluster");
    Ok(group::from_token(token))
}

fn may_found(values: &Values) -> Result<bool, ConfigError> {
    match values.text("initial-cluster-state").unwrap_or("new") {
        "new" => Ok(true),
        "existing" => Ok(false),
        _ => Err(complain(
            values,
            "initial-cluster-state",
            "allowed are new and existing",
        )),
    }
}

fn urls(values: &Values, name: &str, default: &str) -> Result<Vec<Url>, ConfigError> {
    let text = values
        .text(name)
        .filter(|text| !text.is_empty())
        .unwrap_or(default);
    url::parse_list(text).map_err(|reason| ConfigError::new(format!("--{name}: {reason}")))
}

fn without_wildcards(values: &Values, name: &str, urls: Vec<Url>) -> Result<Vec<Url>, ConfigError> {
    if urls.iter().any(Url::is_wildcard) {
        return Err(complain(
            values,
            name,
            "a wildcard tells nobody where to come: name an address",
        ));
    }
    Ok(urls)
}

fn advertise_client(values: &Values, listen: &[Url]) -> Result<Vec<Url>, ConfigError> {
    let name = "advertise-client-urls";
    if values.text(name).is_some() {
        // etcd lets wildcards through here, and single members are started so.
        return urls(values, name, "");
    }
    if listen.iter().any(Url::is_wildcard) {
        return Err(ConfigError::new(format!(
            "--{name} is needed, since --listen-client-urls is a wildcard"
        )));
    }
    Ok(listen.to_vec())
}

/// As written; else as the cluster's list has it; else where it listens.
fn advertise_peer(
    values: &Values,
    own_name: &str,
    cluster: Option<&[InitialMember]>,
    listen: &[Url],
) -> Result<Vec<Url>, ConfigError> {
    let name = "initial-advertise-peer-urls";
    if values.text(name).is_some() {
        return without_wildcards(values, name, urls(values, name, "")?);
    }
    if let Some(own) = cluster.and_then(|cluster| cluster.iter().find(|member| member.name == own_name)) {
        return Ok(own.urls.clone());
    }
    if listen.iter().any(Url::is_wildcard) {
        return Err(ConfigError::new(format!(
            "--{name} is needed, since --listen-peer-urls is a wildcard"
        )));
    }
    Ok(listen.to_vec())
}

/// `--initial-cluster`, where a member with several URLs stands several times.
fn written_cluster(values: &Values) -> Result<Option<Vec<InitialMember>>, ConfigError> {
    let name = "initial-cluster";
    let Some(text) = values.text(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let mut members: Vec<InitialMember> = Vec::new();
    for part in text.split(',') {
        let (member, address) = part
            .trim()
            .split_once('=')
            .filter(|(member, _)| !member.is_empty())
            .ok_or_else(|| {
                ConfigError::new(format!(
                    "--{name}: `{part}` is not of the form NAME=http://HOST:PORT"
                ))
            })?;
        let url = url::parse(address)
            .map_err(|reason| ConfigError::new(format!("--{name}: {member}: {reason}")))?;
        if members.iter().any(|other| other.urls.contains(&url)) {
            return Err(ConfigError::new(format!("--{name}: {url} stands there twice")));
        }
        match members.iter_mut().find(|other| other.name == member) {
            Some(other) => other.urls.push(url),
            None => members.push(InitialMember {
                name: member.to_owned(),
                urls: vec![url],
            }),
        }
    }
    Ok(Some(members))
}

fn check_cluster(
    values: &Values,
    name: &str,
    own_urls: &[Url],
    cluster: &[InitialMember],
) -> Result<(), ConfigError> {
    let setting = "initial-cluster";
    if cluster.len() > MEMBERS_MAX {
        let message = format!(
            "--{setting}: {} members, allowed are 1 to {MEMBERS_MAX}",
            cluster.len()
        );
        return Err(ConfigError::new(message));
    }
    if cluster
        .iter()
        .flat_map(|member| &member.urls)
        .any(Url::is_wildcard)
    {
        return Err(complain(
            values,
            setting,
            "a wildcard tells nobody where to come: name an address",
        ));
    }
    let Some(own) = cluster.iter().find(|member| member.name == name) else {
        let names: Vec<&str> = cluster.iter().map(|member| member.name.as_str()).collect();
        return Err(ConfigError::new(format!(
            "--{setting} names {}, and not this member: --name={name}",
            names.join(", ")
        )));
    };
    let same = own.urls.len() == own_urls.len() && own.urls.iter().all(|url| own_urls.contains(url));
    if !same {
        let message = format!(
            "--{setting} says {name} is at {}, --initial-advertise-peer-urls says {}: they must agree",
            joined(&own.urls),
            joined(own_urls)
        );
        return Err(ConfigError::new(message));
    }
    Ok(())
}

fn joined(urls: &[Url]) -> String {
    urls.iter().map(Url::to_string).collect::<Vec<_>>().join(",")
}

fn timers(values: &Values) -> Result<(u64, u64), ConfigError> {
    let heartbeat_ms = number(
        values,
        "heartbeat-interval",
        HEARTBEAT_MS_DEFAULT,
        1,
        ELECTION_MS_MAX / 5,
    )?;
    let election_ms = number(
        values,
        "election-timeout",
        ELECTION_MS_DEFAULT,
        5,
        ELECTION_MS_MAX,
    )?;
    if election_ms < heartbeat_ms * 5 {
        let message = format!(
            "--election-timeout={election_ms} must be at least 5 times --heartbeat-interval={heartbeat_ms}"
        );
        return Err(ConfigError::new(message));
    }
    Ok((heartbeat_ms, election_ms))
}

fn number(values: &Values, name: &str, default: u64, min: u64, max: u64) -> Result<u64, ConfigError> {
    let Some(text) = values.text(name).filter(|text| !text.is_empty()) else {
        return Ok(default);
    };
    let number: Option<u64> = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| complain(values, name, &format!("allowed is a number from {min} to {max}")))
}

fn checked_duration(values: &Values, name: &str, default: Duration) -> Result<Duration, ConfigError> {
    let Some(text) = values.text(name).filter(|text| !text.is_empty()) else {
        return Ok(default);
    };
    // In etcd's config file a duration is a whole number of nanoseconds.
    let nanoseconds = text
        .parse()
        .ok()
        .filter(|_| values.is_from_file(name))
        .map(Duration::from_nanos);
    let duration = nanoseconds.or_else(|| duration::parse(text));
    duration.ok_or_else(|| complain(values, name, "allowed is a duration like 20s, 5m or 2h"))
}

fn log_level(values: &Values) -> Result<tracing::Level, ConfigError> {
    match values.text("log-level").unwrap_or("info") {
        "debug" => Ok(tracing::Level::DEBUG),
        "info" => Ok(tracing::Level::INFO),
        "warn" => Ok(tracing::Level::WARN),
        // etcd's two levels above error mean "only what ends the process", which is an error here.
        "error" | "dpanic" | "panic" | "fatal" => Ok(tracing::Level::ERROR),
        _ => Err(complain(
            values,
            "log-level",
            "allowed are debug, info, warn and error",
        )),
    }
}

fn log_format(values: &Values) -> Result<LogFormat, ConfigError> {
    match values.text("log-format").unwrap_or("console") {
        "console" => Ok(LogFormat::Console),
        "json" => Ok(LogFormat::Json),
        _ => Err(complain(values, "log-format", "allowed are console and json")),
    }
}
