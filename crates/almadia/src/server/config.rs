//! What `almadia server` was told, checked: every value is in its range and all of them go together. Each complaint is one
//! line that names the setting and what is allowed. It opens no file and no socket.

use super::auth_token::AuthToken;
use super::log::LogOutput;
use super::table::{SETTINGS, Treatment};
use super::values::{Values, asks_for_nothing};
use super::{ConfigError, duration, ordinals, slow, tls, web};
use almadia_command::GroupId;
use almadia_etcd::{AuthConfig, AutoCompaction, Limits, TokenKind};
use almadia_member::founding::{InitialPeer, InitialState};
use almadia_server::config::{
    ServerConfig, group_from_token, parse_group, parse_initial_cluster, parse_urls,
};
use almadia_server::url::Url;
use std::path::PathBuf;
use std::time::Duration;

/// A request travels between members in one frame; this leaves room in it for everything around the request.
const REQUEST_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Operations of a transaction at most: what one of the largest requests can hold.
const TXN_OPERATIONS_MAX: u64 = 65_536;

/// Election timeouts without a leader after which a stream whose client wants one ends, as in etcd.
const LEADERLESS_ELECTIONS: u32 = 3;

/// etcd's limit of `--watch-progress-notify-interval`.
const PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// etcd's bounds; that the two go together is checked with all settings.
const ELECTION_MS_MIN: u64 = 5;
const ELECTION_MS_MAX: u64 = 50_000;
const HEARTBEAT_MS_MAX: u64 = ELECTION_MS_MAX / 5;

/// History younger than that is not worth a compaction.
const COMPACTION_AGE_MIN: Duration = Duration::from_secs(1);

/// Connections beyond the bound that are being refused at the same time.
const CONNECTIONS_REFUSED_MAX: usize = 256;

/// What etcd adds to twice the election timeout to get a request's time limit.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// etcd's 0 for "never", as a time that no connection lives to see and every timer can hold.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Seconds that a simple token holds after its last use, as in etcd.
const TOKEN_TTL: u64 = 300;
/// A year: a token that holds for longer is a password.
const TOKEN_TTL_MAX: u64 = 365 * 24 * 60 * 60;

/// Said once, at the start.
const FAULT_INJECTION: &str = "FAULT INJECTION IS ENABLED (--enable-fault-injection): clients may cut this member off its peers \
                               and kill it; for courses and tests, never where data matters";

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Console,
    /// One JSON object a line.
    Json,
}

/// Checked settings of one member, sorted by who needs them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For the member on its sockets.
    pub server: ServerConfig,
    /// For the client protocol.
    pub edge: almadia_etcd::Config,
    /// Which tokens are given out; in `edge` once its keys have been read.
    pub auth_token: AuthToken,
    /// The least important messages that are logged.
    pub log_level: tracing::Level,
    /// How they are written.
    pub log_format: LogFormat,
    /// Where they go.
    pub log_outputs: Vec<LogOutput>,
    /// Whether clients may cut the member off its peers and kill it.
    pub fault_injection: bool,
    /// What the operator should know, one line each.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Checks what was written.
    ///
    /// # Errors
    /// The first thing that is wrong, in one line.
    pub fn from_values(values: &Values) -> Result<Self, ConfigError> {
        refuse(values)?;
        let mut server = server(values)?;
        server
            .validate()
            .map_err(|error| ConfigError::new(error.to_string()))?;
        let mut warnings = warnings(values);
        warnings.extend(tls::warnings(values));
        warnings.extend(server.tls_warnings());
        let fault_injection = tls::switch(values, "enable-fault-injection")?;
        if fault_injection {
            warnings.push(FAULT_INJECTION.to_owned());
        }
        let mut edge = edge(values)?;
        edge.lease_ttl_min = lease_ttl_min(server.election_ms);
        // One more is accepted, to make room or to be told; the listener's own bound is only there for those.
        server.client_connections_max = edge
            .limits
            .connections_max
            .saturating_add(CONNECTIONS_REFUSED_MAX);
        Ok(Self {
            server,
            edge,
            auth_token: auth_token(values)?,
            log_level: log_level(values)?,
            log_format: log_format(values)?,
            log_outputs: log_outputs(values),
            fault_injection,
            warnings,
        })
    }
}

impl Settings {
    /// Reads the keys that `--auth-token` names.
    ///
    /// # Errors
    /// A key that cannot be read or used, in one line.
    pub fn read_keys(&mut self, read: impl Fn(&str) -> std::io::Result<Vec<u8>>) -> Result<(), ConfigError> {
        let TokenKind::Simple { ttl } = self.edge.auth.tokens else {
            return Ok(());
        };
        let tokens = self.auth_token.load(ttl, read);
        self.edge.auth.tokens = tokens.map_err(|error| ConfigError::new(format!("--auth-token: {error}")))?;
        Ok(())
    }
}

fn auth_token(values: &Values) -> Result<AuthToken, ConfigError> {
    let text = written(values, "auth-token").unwrap_or("simple");
    AuthToken::parse(text).map_err(|allowed| complain(values, "auth-token", &allowed))
}

fn auth(values: &Values) -> Result<AuthConfig, ConfigError> {
    let ttl = number(values, "auth-token-ttl", TOKEN_TTL, 0, TOKEN_TTL_MAX)?;
    // In etcd 0 means the default.
    let ttl = Duration::from_secs(if ttl == 0 { TOKEN_TTL } else { ttl });
    let defaults = AuthConfig::default();
    let failures = u64::from(defaults.failed_logins_max);
    let failures = number(values, "max-failed-logins", failures, 0, u64::from(u32::MAX))?;
    let cost = number(values, "bcrypt-cost", u64::from(defaults.bcrypt_cost), 4, 31)?;
    Ok(AuthConfig {
        tokens: TokenKind::Simple { ttl },
        bcrypt_cost: u32::try_from(cost).expect("at most 31"),
        failed_logins_max: u32::try_from(failures).expect("bounded by u32::MAX"),
    })
}

fn server(values: &Values) -> Result<ServerConfig, ConfigError> {
    let defaults = ServerConfig::default();
    let tls = tls::settings(values)?;
    let set = ordinals::read(values, &tls)?;
    let name = match &set {
        Some(set) => set.name.clone(),
        None => written(values, "name").unwrap_or(&defaults.name).to_owned(),
    };
    let data_dir = written(values, "data-dir").map_or_else(|| format!("{name}.almadia"), str::to_owned);
    let listen = set.as_ref().map(|set| &set.listen);
    let listen_peer = listen.map_or(&defaults.listen_peer_urls, |listen| &listen.peer);
    let listen_peer_urls = urls(values, "listen-peer-urls", listen_peer);
    let listen_client = listen.map_or(&defaults.listen_client_urls, |listen| &listen.client);
    let listen_client_urls = urls(values, "listen-client-urls", listen_client);
    let cluster = match &set {
        Some(set) => Some(set.ordinals.initial_cluster()),
        None => listed(values)?,
    };
    let advertise_peer_urls = advertise_peer(values, &name, cluster.as_deref(), &listen_peer_urls)?;
    let advertise_client_urls = match set.as_ref().and_then(|set| set.client_url(&listen_client_urls)) {
        Some(url) => urls(values, "advertise-client-urls", &[url]),
        None => advertise_client(values, &listen_client_urls)?,
    };
    let own = InitialPeer {
        name: name.clone(),
        peer_urls: advertise_peer_urls.clone(),
    };
    let election_ms = number(
        values,
        "election-timeout",
        defaults.election_ms,
        ELECTION_MS_MIN,
        ELECTION_MS_MAX,
    )?;
    Ok(ServerConfig {
        name,
        data_dir: PathBuf::from(data_dir),
        listen_peer_urls,
        listen_client_urls,
        listen_client_http_urls: urls(values, "listen-client-http-urls", &[]),
        listen_metrics_urls: urls(values, "listen-metrics-urls", &[]),
        advertise_peer_urls,
        advertise_client_urls,
        initial_cluster: cluster.unwrap_or_else(|| vec![own]),
        initial_state: initial_state(values, set.as_ref().is_none_or(|set| set.ordinals.is_founder()))?,
        is_unattended: ordinals::is_unattended(values, set.is_some())?,
        ordinals: set.map(|set| set.ordinals),
        group: checked_group(values)?,
        heartbeat_ms: number(
            values,
            "heartbeat-interval",
            defaults.heartbeat_ms,
            1,
            HEARTBEAT_MS_MAX,
        )?,
        election_ms,
        tls,
        request_limit: REQUEST_LIMIT + Duration::from_millis(2 * election_ms),
        quota_bytes: quota(values)?,
        memory_bytes_max: memory(values)?,
        ..defaults
    })
}

/// `--initial-cluster`.
fn listed(values: &Values) -> Result<Option<Vec<InitialPeer>>, ConfigError> {
    let cluster = written(values, "initial-cluster")
        .map(parse_initial_cluster)
        .transpose();
    let cluster = cluster.map_err(|error| ConfigError::new(error.to_string()))?;
    if cluster.iter().flatten().any(|peer| peer.name.is_empty()) {
        return Err(complain(values, "initial-cluster", "a member has no name"));
    }
    Ok(cluster)
}

/// `--quota-backend-bytes`. As in etcd a negative one means none; 0, which there means 2 GiB, means none too.
fn quota(values: &Values) -> Result<Option<u64>, ConfigError> {
    let name = "quota-backend-bytes";
    let Some(text) = written(values, name) else {
        return Ok(None);
    };
    let bytes: i64 = text
        .parse()
        .map_err(|_| complain(values, name, "allowed is a whole number of bytes"))?;
    Ok(u64::try_from(bytes).ok().filter(|bytes| *bytes > 0))
}

/// `--memory-budget-bytes`.
fn memory(values: &Values) -> Result<Option<u64>, ConfigError> {
    let name = "memory-budget-bytes";
    written(values, name)
        .map(|_| number(values, name, 0, 0, u64::MAX))
        .transpose()
}

/// As in etcd: 1.5 election timeouts, in whole seconds, rounded up; a lease that is over sooner could end before a new leader
/// is there.
fn lease_ttl_min(election_ms: u64) -> i64 {
    let seconds = (election_ms.saturating_mul(3) / 2).div_ceil(1000);
    i64::try_from(seconds).expect("an election timeout is at most 50 s")
}

fn edge(values: &Values) -> Result<almadia_etcd::Config, ConfigError> {
    let defaults = almadia_etcd::Config::default();
    let request_bytes = number(
        values,
        "max-request-bytes",
        defaults.request_bytes_max as u64,
        1,
        REQUEST_BYTES_MAX,
    )?;
    let operations = number(
        values,
        "max-txn-ops",
        defaults.txn_operations_max as u64,
        1,
        TXN_OPERATIONS_MAX,
    )?;
    Ok(almadia_etcd::Config {
        auth: auth(values)?,
        request_bytes_max: usize::try_from(request_bytes).expect("at most 4 MiB"),
        txn_operations_max: usize::try_from(operations).expect("at most 65536"),
        limits: limits(values, defaults.limits.clone())?,
        auto_compaction: auto_compaction(values)?,
        keepalive_interval: keepalive_interval(values, defaults.keepalive_interval)?,
        keepalive_timeout: checked_duration(values, "grpc-keepalive-timeout", defaults.keepalive_timeout)?,
        progress_interval: progress_interval(values, defaults.progress_interval)?,
        leaderless_max: LEADERLESS_ELECTIONS * election(values)?,
        quota_bytes: quota(values)?.map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        slow_request_threshold: slow::threshold(values, defaults.slow_request_threshold)?,
        ..web::configure(values, defaults)?
    })
}

/// Which history is dropped by itself: `8`, `30m` by age (a bare number is hours), `1000` by revisions; `0` none.
fn auto_compaction(values: &Values) -> Result<AutoCompaction, ConfigError> {
    let (mode, retention) = ("auto-compaction-mode", "auto-compaction-retention");
    let by_revision = match written(values, mode).unwrap_or("periodic") {
        "periodic" => false,
        "revision" => true,
        _ => return Err(complain(values, mode, "allowed are periodic and revision")),
    };
    let text = written(values, retention).unwrap_or("0");
    let number: Option<u32> = text.parse().ok();
    match (by_revision, number) {
        (_, Some(0)) => Ok(AutoCompaction::Off),
        (true, Some(revisions)) => Ok(AutoCompaction::Revisions(revisions.into())),
        (true, None) => Err(complain(values, retention, "allowed is a number of revisions")),
        (false, Some(hours)) => Ok(AutoCompaction::Age(Duration::from_secs(u64::from(hours) * 3600))),
        (false, None) => match duration::parse(text) {
            Some(Duration::ZERO) => Ok(AutoCompaction::Off),
            Some(age) if age >= COMPACTION_AGE_MIN => Ok(AutoCompaction::Age(age)),
            _ => Err(complain(
                values,
                retention,
                "allowed are hours or a duration of 1s or more, like 30m",
            )),
        },
    }
}

/// What clients may make the member hold.
fn limits(values: &Values, defaults: Limits) -> Result<Limits, ConfigError> {
    let count = |name, default| number(values, name, default, 1, u64::from(u32::MAX));
    let narrow = |number| u32::try_from(number).expect("bounded by u32::MAX");
    let wide = |number| usize::try_from(number).expect("a u32 is an address");
    let time = |name: &str, default: Duration| -> Result<Duration, ConfigError> {
        let time = checked_duration(values, name, default)?;
        // etcd's 0 for "never".
        Ok(if time.is_zero() { NEVER } else { time })
    };
    Ok(Limits {
        connections_max: wide(count("max-client-connections", defaults.connections_max as u64)?),
        streams_max: narrow(count("max-concurrent-streams", defaults.streams_max.into())?),
        header_timeout: time("client-header-timeout", defaults.header_timeout)?,
        body_timeout: time("client-body-timeout", defaults.body_timeout)?,
        idle_timeout: time("client-idle-timeout", defaults.idle_timeout)?,
        watches_max: wide(count("max-watches", defaults.watches_max as u64)?),
        stream_watches_max: wide(count(
            "max-watches-per-stream",
            defaults.stream_watches_max as u64,
        )?),
        leases_max: wide(count("max-leases", defaults.leases_max as u64)?),
        answer_bytes_max: wide(count("max-answer-bytes", defaults.answer_bytes_max as u64)?),
        unfinished_bytes_max: wide(count(
            "max-unfinished-bytes",
            defaults.unfinished_bytes_max as u64,
        )?),
        cancelled_per_second_max: narrow(count(
            "max-cancelled-requests",
            defaults.cancelled_per_second_max.into(),
        )?),
        ..defaults
    })
}

/// The text of a setting; an empty one counts as not written, as in etcd.
pub(super) fn written<'a>(values: &'a Values, name: &str) -> Option<&'a str> {
    values.text(name).filter(|text| !text.is_empty())
}

pub(super) fn complain(values: &Values, name: &str, allowed: &str) -> ConfigError {
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

fn checked_group(values: &Values) -> Result<GroupId, ConfigError> {
    match written(values, "group") {
        Some(text) => parse_group(text).map_err(|_| complain(values, "group", "allowed is a UUID")),
        None => Ok(group_from_token(
            written(values, "initial-cluster-token").unwrap_or("etcd-cluster"),
        )),
    }
}

/// Who is none of the first members only ever joins, whatever is written.
fn initial_state(values: &Values, may_found: bool) -> Result<InitialState, ConfigError> {
    match written(values, "initial-cluster-state").unwrap_or("new") {
        "new" if may_found => Ok(InitialState::New),
        "new" => Ok(InitialState::Existing),
        "existing" => Ok(InitialState::Existing),
        _ => Err(complain(
            values,
            "initial-cluster-state",
            "allowed are new and existing",
        )),
    }
}

fn urls(values: &Values, name: &str, default: &[String]) -> Vec<String> {
    written(values, name).map_or_else(|| default.to_vec(), parse_urls)
}

/// True where one of the addresses means "all of this machine", which tells nobody where to come.
fn has_wildcard(urls: &[String]) -> bool {
    urls.iter()
        .filter_map(|url| Url::parse(url).ok())
        .any(|url| matches!(url.host.as_str(), "0.0.0.0" | "::"))
}

fn advertise_client(values: &Values, listen: &[String]) -> Result<Vec<String>, ConfigError> {
    let name = "advertise-client-urls";
    if written(values, name).is_none() && has_wildcard(listen) {
        return Err(ConfigError::new(format!(
            "--{name} is needed, since --listen-client-urls is a wildcard"
        )));
    }
    Ok(urls(values, name, listen))
}

/// As written; else as the cluster's list has it; else where it listens.
fn advertise_peer(
    values: &Values,
    own_name: &str,
    cluster: Option<&[InitialPeer]>,
    listen: &[String],
) -> Result<Vec<String>, ConfigError> {
    let name = "initial-advertise-peer-urls";
    let listed = cluster.and_then(|cluster| cluster.iter().find(|peer| peer.name == own_name));
    let default = listed.map_or(listen, |own| &own.peer_urls);
    if written(values, name).is_none() && listed.is_none() && has_wildcard(listen) {
        return Err(ConfigError::new(format!(
            "--{name} is needed, since --listen-peer-urls is a wildcard"
        )));
    }
    Ok(urls(values, name, default))
}

pub(super) fn number(
    values: &Values,
    name: &str,
    default: u64,
    min: u64,
    max: u64,
) -> Result<u64, ConfigError> {
    let Some(text) = written(values, name) else {
        return Ok(default);
    };
    let number: Option<u64> = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| complain(values, name, &format!("allowed is a number from {min} to {max}")))
}

pub(super) fn checked_duration(
    values: &Values,
    name: &str,
    default: Duration,
) -> Result<Duration, ConfigError> {
    let Some(text) = written(values, name) else {
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

/// `--election-timeout`.
fn election(values: &Values) -> Result<Duration, ConfigError> {
    let default = ServerConfig::default().election_ms;
    let election_ms = number(
        values,
        "election-timeout",
        default,
        ELECTION_MS_MIN,
        ELECTION_MS_MAX,
    )?;
    Ok(Duration::from_millis(election_ms))
}

fn progress_interval(values: &Values, default: Duration) -> Result<Duration, ConfigError> {
    let name = "watch-progress-notify-interval";
    let interval = checked_duration(values, name, default)?;
    if interval < PROGRESS_INTERVAL_MIN {
        return Err(complain(values, name, "allowed is 100ms or more"));
    }
    Ok(interval)
}

fn keepalive_interval(values: &Values, default: Duration) -> Result<Duration, ConfigError> {
    let interval = checked_duration(values, "grpc-keepalive-interval", default)?;
    Ok(if interval.is_zero() { NEVER } else { interval })
}

fn log_level(values: &Values) -> Result<tracing::Level, ConfigError> {
    match written(values, "log-level").unwrap_or("info") {
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

fn log_outputs(values: &Values) -> Vec<LogOutput> {
    let text = written(values, "log-outputs").unwrap_or("default");
    let outputs = text.split(',').map(str::trim).filter(|output| !output.is_empty());
    outputs.map(LogOutput::parse).collect()
}

fn log_format(values: &Values) -> Result<LogFormat, ConfigError> {
    match written(values, "log-format").unwrap_or("console") {
        "console" => Ok(LogFormat::Console),
        "json" => Ok(LogFormat::Json),
        _ => Err(complain(values, "log-format", "allowed are console and json")),
    }
}
