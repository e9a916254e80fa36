//! Every setting of `almadia server`: etcd's, under etcd's names, and our own. Flags, environment and config file are all
//! read by this one table; it holds no values and checks none.

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The flag's name without dashes, which is the config file's key too.
    pub name: &'static str,
    /// A switch may stand without a value (`--pre-vote`, `--pre-vote=false`); others show this word in the help.
    pub value: Value,
    /// What Almadia does with it.
    pub treatment: Treatment,
    /// For the help; empty where the setting is accepted for etcd's sake only.
    pub help: &'static str,
}

/// How a setting is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// On or off.
    Switch,
    /// Takes a text, which the help calls by this word.
    Text(&'static str),
}

/// What Almadia does with a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It works as described.
    Used,
    /// Accepted and without effect; the reason ends up in a warning.
    Ignored(&'static str),
    /// Refused unless it has the value that asks for nothing: ignoring it would be unsafe or break a promise.
    Refused(&'static str),
}

impl Setting {
    /// The environment variable: etcd's for etcd's settings, `ALMADIA_…` for our own.
    pub fn environment(&self) -> String {
        let prefix = if OWN.contains(&self.name) {
            "ALMADIA"
        } else {
            "ETCD"
        };
        format!("{prefix}_{}", self.name.to_uppercase().replace('-', "_"))
    }
}

/// The setting of a name; etcd 3.5 called some of them `experimental-…`.
pub fn find(name: &str) -> Option<&'static Setting> {
    let name = name.strip_prefix("experimental-").unwrap_or(name);
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Names that etcd does not know.
const OWN: &[&str] = &[
    "group",
    "peer-domain",
    "peer-pattern",
    "peer-port",
    "cluster-size",
    "wished-size",
    "unattended-admission",
    "max-client-connections",
    "client-header-timeout",
    "client-body-timeout",
    "client-idle-timeout",
    "max-cancelled-requests",
    "max-unfinished-bytes",
    "max-answer-bytes",
    "max-watches",
    "max-watches-per-stream",
    "max-leases",
    "max-failed-logins",
    "memory-budget-bytes",
    "enable-console",
    "enable-fault-injection",
    "slow-request-threshold",
];

const NO_DISCOVERY: &str = "members are named by --initial-cluster";
const OTHER_STORE: &str = "the store has no such part";
const LOG_FILES: &str = "files are opened for appending: let logrotate copy and truncate them";
const NOT_YET: &str = "not offered yet";
const ALWAYS: &str = "always so";

const fn used(name: &'static str, word: &'static str, help: &'static str) -> Setting {
    Setting {
        name,
        value: Value::Text(word),
        treatment: Treatment::Used,
        help,
    }
}

const fn used_switch(name: &'static str, help: &'static str) -> Setting {
    Setting {
        name,
        value: Value::Switch,
        treatment: Treatment::Used,
        help,
    }
}

const fn ignored(name: &'static str, reason: &'static str) -> Setting {
    Setting {
        name,
        value: Value::Text("VALUE"),
        treatment: Treatment::Ignored(reason),
        help: "",
    }
}

const fn ignored_switch(name: &'static str, reason: &'static str) -> Setting {
    Setting {
        name,
        value: Value::Switch,
        treatment: Treatment::Ignored(reason),
        help: "",
    }
}

const fn refused(name: &'static str, reason: &'static str) -> Setting {
    Setting {
        name,
        value: Value::Text("VALUE"),
        treatment: Treatment::Refused(reason),
        help: "",
    }
}

const fn refused_switch(name: &'static str, reason: &'static str) -> Setting {
    Setting {
        name,
        value: Value::Switch,
        treatment: Treatment::Refused(reason),
        help: "",
    }
}

/// All settings, the used ones first, then etcd's others in the order of etcd's own help.
pub const SETTINGS: &[Setting] = &[
    used(
        "config-file",
        "FILE",
        "Read all settings from this YAML file; flags and environment are then ignored",
    ),
    used(
        "name",
        "NAME",
        "This member's name, as it stands in --initial-cluster [default: default; with --peer-domain or --peer-pattern the pod's]",
    ),
    used(
        "data-dir",
        "DIR",
        "Where this member keeps its data [default: NAME.almadia]",
    ),
    used(
        "listen-client-urls",
        "URLS",
        "Where to listen for clients [default: http://localhost:2379]",
    ),
    used(
        "advertise-client-urls",
        "URLS",
        "Where clients reach this member [default: the URLs it listens on]",
    ),
    used(
        "listen-peer-urls",
        "URLS",
        "Where to listen for the other members [default: http://localhost:2380]",
    ),
    used(
        "initial-advertise-peer-urls",
        "URLS",
        "Where other members reach this one [default: what --initial-cluster says of it]",
    ),
    used(
        "initial-cluster",
        "NAME=URL,..",
        "All members of the cluster with their peer URLs [default: this one alone]",
    ),
    used(
        "peer-domain",
        "DOMAIN",
        "Instead of --initial-cluster: members are NAME-0.DOMAIN, NAME-1.DOMAIN .. as behind a headless Service",
    ),
    used(
        "peer-pattern",
        "URL",
        "Instead of --peer-domain: every member's peer URL, with %d for the ordinal in its name",
    ),
    used(
        "peer-port",
        "PORT",
        "The members' peer port with --peer-domain [default: 2380]",
    ),
    used(
        "cluster-size",
        "COUNT",
        "With --peer-domain or --peer-pattern: how many members found the cluster, ordinals from 0",
    ),
    used(
        "wished-size",
        "WHO",
        "Who says how many members there are to be: `fixed` (--cluster-size), `statefulset`, `file:PATH` [default: fixed]",
    ),
    used_switch(
        "unattended-admission",
        "Let empty members under a name of this cluster in, and replace dead ones [default: true with --peer-domain or --peer-pattern]",
    ),
    used(
        "initial-cluster-state",
        "STATE",
        "`new` or `existing`: an existing cluster is joined, never founded [default: new]",
    ),
    used(
        "initial-cluster-token",
        "TOKEN",
        "Keeps deployments apart: members of another one are refused [default: etcd-cluster]",
    ),
    used(
        "group",
        "UUID",
        "Keeps deployments apart, instead of the token [default: derived from the token]",
    ),
    used(
        "heartbeat-interval",
        "MS",
        "Milliseconds between two signs of life of a leader; sent twice as often [default: 100]",
    ),
    used(
        "election-timeout",
        "MS",
        "Milliseconds T of silence; elections begin after 0.3 T to 0.6 T [default: 1000]",
    ),
    used("max-request-bytes", "BYTES", "Largest request [default: 1572864]"),
    used(
        "quota-backend-bytes",
        "BYTES",
        "Refuse writes while live keys and values take this much; 0 or less is no quota [default: 0]",
    ),
    used(
        "memory-budget-bytes",
        "BYTES",
        "Refuse writes while 85 % of this much memory is used; 0 is no bound [default: 60 % of what the process can have]",
    ),
    used(
        "slow-request-threshold",
        "DURATION",
        "Tell in the log where the time of each request went that took longer; 0 for none [default: 100ms]",
    ),
    used(
        "warning-unary-request-duration",
        "DURATION",
        "etcd's name of --slow-request-threshold",
    ),
    used(
        "warning-apply-duration",
        "DURATION",
        "Another of etcd's names of --slow-request-threshold; it goes behind the others",
    ),
    used(
        "max-txn-ops",
        "COUNT",
        "Most operations of one transaction [default: 128]",
    ),
    used(
        "max-concurrent-streams",
        "COUNT",
        "Most requests in flight on one connection [default: 1000]",
    ),
    used(
        "max-client-connections",
        "COUNT",
        "Most client connections; the idlest gives way to one more [default: 16384]",
    ),
    used(
        "client-header-timeout",
        "DURATION",
        "How long a client may take for a request's headers; 0 for ever [default: 10s]",
    ),
    used(
        "client-body-timeout",
        "DURATION",
        "How long a client may take for the rest of a message; 0 for ever [default: 1m]",
    ),
    used(
        "client-idle-timeout",
        "DURATION",
        "A connection without requests is closed after this long; 0 never [default: 10m]",
    ),
    used(
        "max-cancelled-requests",
        "COUNT",
        "Requests each second that one connection's client may give up [default: 2000]",
    ),
    used(
        "max-unfinished-bytes",
        "BYTES",
        "Most bytes of requests that have not arrived whole, together [default: 268435456]",
    ),
    used(
        "max-answer-bytes",
        "BYTES",
        "Most memory of large answers beside the store; more wait their turn [default: 268435456]",
    ),
    used(
        "max-watches",
        "COUNT",
        "Most watches on this member [default: 500000]",
    ),
    used(
        "max-watches-per-stream",
        "COUNT",
        "Most watches on one stream [default: 100000]",
    ),
    used(
        "max-leases",
        "COUNT",
        "Most leases in the store [default: 1000000]",
    ),
    used(
        "max-failed-logins",
        "COUNT",
        "Wrong passwords of one user from one address in a minute; 0 any number [default: 10]",
    ),
    used(
        "auto-compaction-mode",
        "MODE",
        "`periodic` drops history by age, `revision` by number of revisions [default: periodic]",
    ),
    used(
        "auto-compaction-retention",
        "AGE|COUNT",
        "History to keep: hours, a duration like 30m, or revisions; 0 all of it [default: 0]",
    ),
    used(
        "log-outputs",
        "WHERE,..",
        "Where messages go: stderr, stdout, files [default: stderr]",
    ),
    used(
        "grpc-keepalive-interval",
        "DURATION",
        "Silence after which a client is asked for a sign of life; 0 never [default: 2h]",
    ),
    used(
        "grpc-keepalive-timeout",
        "DURATION",
        "How long a client may take to give it [default: 20s]",
    ),
    used(
        "watch-progress-notify-interval",
        "DURATION",
        "Silence after which a watch that wants it is told that nothing happened [default: 10m]",
    ),
    used(
        "listen-client-http-urls",
        "URLS",
        "Where to listen for HTTP, which --listen-client-urls then do not serve [default: none]",
    ),
    used(
        "listen-metrics-urls",
        "URLS",
        "Where to serve /metrics, /health, /livez and /readyz alone, besides the client port [default: none]",
    ),
    used_switch(
        "enable-fault-injection",
        "Let clients cut this member off its peers and kill it, for exercises ('almadia fault', 'almadia verify'); never where \
         data matters [default: false]",
    ),
    used_switch(
        "enable-grpc-gateway",
        "Serve etcd's JSON API under /v3/ on the client port [default: true]",
    ),
    used_switch(
        "enable-console",
        "Serve a page that shows the cluster at / on the client port [default: true]",
    ),
    used(
        "cors",
        "ORIGINS",
        "Origins whose pages a browser lets use HTTP here; * is any [default: *]",
    ),
    used(
        "host-whitelist",
        "NAMES",
        "Names under which HTTP may be asked here; * is any [default: *]",
    ),
    used(
        "auth-token",
        "KIND[,OPTION=VALUE,..]",
        "Tokens for logins: `simple`, or `jwt` with sign-method, pub-key, priv-key and ttl [default: simple]",
    ),
    used(
        "auth-token-ttl",
        "SECONDS",
        "How long a simple token holds after its last use [default: 300]",
    ),
    used(
        "bcrypt-cost",
        "COST",
        "Work that goes into the hash of a new password, 4 to 31; each step doubles it [default: 10]",
    ),
    used(
        "cert-file",
        "FILE",
        "Certificate shown to clients, PEM, with intermediate ones; read again when it changes",
    ),
    used("key-file", "FILE", "Its private key"),
    used_switch(
        "client-cert-auth",
        "Let in only clients with a certificate; its common name is their user",
    ),
    used(
        "trusted-ca-file",
        "FILE",
        "Who may have signed clients' certificates",
    ),
    used(
        "client-crl-file",
        "FILE",
        "Clients' certificates that were revoked",
    ),
    used(
        "client-cert-allowed-hostname",
        "HOSTS",
        "Let in only clients whose certificate is for one of these",
    ),
    used_switch("auto-tls", "Make a certificate for clients, for first tries"),
    used(
        "peer-cert-file",
        "FILE",
        "Certificate shown to other members, by who dials and who is dialed",
    ),
    used("peer-key-file", "FILE", "Its private key"),
    used(
        "peer-client-cert-file",
        "FILE",
        "Certificate shown when dialing another member [default: --peer-cert-file]",
    ),
    used("peer-client-key-file", "FILE", "Its private key"),
    used_switch(
        "peer-client-cert-auth",
        "Let in only members with a certificate; so it is with --peer-trusted-ca-file",
    ),
    used(
        "peer-trusted-ca-file",
        "FILE",
        "Who may have signed other members' certificates",
    ),
    used("peer-crl-file", "FILE", "Members' certificates that were revoked"),
    used(
        "peer-cert-allowed-cn",
        "NAMES",
        "Believe only members whose certificate has one of these common names",
    ),
    used(
        "peer-cert-allowed-hostname",
        "HOSTS",
        "Believe only members whose certificate is for one of these",
    ),
    used_switch(
        "peer-skip-client-san-verification",
        "Let members dial from addresses that their certificate is not for",
    ),
    used_switch(
        "peer-auto-tls",
        "Make a certificate for other members, who believe any; for first tries",
    ),
    used(
        "self-signed-cert-validity",
        "YEARS",
        "How long a certificate of our own making is valid [default: 1]",
    ),
    used(
        "cipher-suites",
        "NAMES",
        "Cipher suites of TLS 1.2, by Go's names [default: all that are good]",
    ),
    used("tls-min-version", "VERSION", "TLS1.2 or TLS1.3 [default: TLS1.2]"),
    used("tls-max-version", "VERSION", "TLS1.2 or TLS1.3 [default: TLS1.3]"),
    used("log-level", "LEVEL", "debug, info, warn or error [default: info]"),
    used(
        "log-format",
        "FORMAT",
        "console or json, to standard error [default: console]",
    ),
    // Member.
    ignored("wal-dir", "the log lies in --data-dir"),
    ignored("snapshot-count", "the log is purged after each checkpoint"),
    ignored_switch("initial-election-tick-advance", "elections do not wait for ticks"),
    ignored("max-snapshots", OTHER_STORE),
    ignored("max-wals", "log files are reused"),
    ignored_switch("memory-mlock", OTHER_STORE),
    ignored("backend-bbolt-freelist-type", OTHER_STORE),
    ignored("backend-batch-interval", OTHER_STORE),
    ignored("backend-batch-limit", OTHER_STORE),
    ignored("grpc-keepalive-min-time", "clients may ask as often as they like"),
    ignored_switch("socket-reuse-port", NOT_YET),
    ignored_switch("socket-reuse-address", ALWAYS),
    ignored("raft-read-timeout", "heartbeats tell whether a peer is alive"),
    ignored("raft-write-timeout", "heartbeats tell whether a peer is alive"),
    ignored("feature-gates", OTHER_STORE),
    // Clustering.
    refused("discovery", NO_DISCOVERY),
    refused("discovery-token", NO_DISCOVERY),
    refused("discovery-endpoints", NO_DISCOVERY),
    refused("discovery-srv", NO_DISCOVERY),
    ignored("discovery-srv-name", NO_DISCOVERY),
    ignored("discovery-fallback", NO_DISCOVERY),
    ignored("discovery-proxy", NO_DISCOVERY),
    ignored("discovery-dial-timeout", NO_DISCOVERY),
    ignored("discovery-request-timeout", NO_DISCOVERY),
    ignored("discovery-keepalive-time", NO_DISCOVERY),
    ignored("discovery-keepalive-timeout", NO_DISCOVERY),
    ignored_switch("discovery-insecure-transport", NO_DISCOVERY),
    ignored_switch("discovery-insecure-skip-tls-verify", NO_DISCOVERY),
    ignored("discovery-cert", NO_DISCOVERY),
    ignored("discovery-key", NO_DISCOVERY),
    ignored("discovery-cacert", NO_DISCOVERY),
    ignored("discovery-user", NO_DISCOVERY),
    ignored("discovery-password", NO_DISCOVERY),
    ignored_switch("strict-reconfig-check", ALWAYS),
    ignored_switch("pre-vote", ALWAYS),
    ignored_switch("enable-v2", "there is no v2 API"),
    ignored("v2-deprecation", "there is no v2 API"),
    ignored("enable-v2v3", "there is no v2 API"),
    // Security.
    ignored("client-cert-file", "nobody here dials the client port"),
    ignored("client-key-file", "nobody here dials the client port"),
    // Monitoring.
    ignored_switch("enable-pprof", OTHER_STORE),
    ignored("metrics", "all of them are always there"),
    ignored("logger", "see --log-format"),
    ignored_switch("enable-log-rotation", LOG_FILES),
    ignored("log-rotation-config-json", LOG_FILES),
    ignored("log-package-levels", "see --log-level"),
    ignored_switch("enable-distributed-tracing", NOT_YET),
    ignored("distributed-tracing-address", NOT_YET),
    ignored("distributed-tracing-service-name", NOT_YET),
    ignored("distributed-tracing-instance-id", NOT_YET),
    ignored("distributed-tracing-sampling-rate", NOT_YET),
    // v2 proxy.
    ignored("proxy", "there is no v2 API"),
    ignored("proxy-failure-wait", "there is no v2 API"),
    ignored("proxy-refresh-interval", "there is no v2 API"),
    ignored("proxy-dial-timeout", "there is no v2 API"),
    ignored("proxy-write-timeout", "there is no v2 API"),
    ignored("proxy-read-timeout", "there is no v2 API"),
    // Features.
    ignored_switch(
        "initial-corrupt-check",
        "every block is checked whenever it is read",
    ),
    ignored("corrupt-check-time", "every block is checked whenever it is read"),
    ignored_switch(
        "compact-hash-check-enabled",
        "every block is checked whenever it is read",
    ),
    ignored(
        "compact-hash-check-time",
        "every block is checked whenever it is read",
    ),
    ignored(
        "compaction-batch-limit",
        "compaction is cut into slices by itself",
    ),
    ignored(
        "compaction-sleep-interval",
        "compaction is cut into slices by itself",
    ),
    ignored(
        "bootstrap-defrag-threshold-megabytes",
        "there is nothing to defragment",
    ),
    ignored("max-learners", "learners are not offered yet"),
    ignored("downgrade-check-time", NOT_YET),
    ignored(
        "snapshot-catchup-entries",
        "the log is purged after each checkpoint",
    ),
    ignored_switch("enable-lease-checkpoint", "what leases have left is always kept"),
    ignored_switch(
        "enable-lease-checkpoint-persist",
        "what leases have left is always kept",
    ),
    ignored_switch("txn-mode-write-with-shared-buffer", OTHER_STORE),
    ignored_switch("stop-grpc-service-on-defrag", "there is nothing to defragment"),
    // Unsafe.
    refused_switch(
        "force-new-cluster",
        "not offered yet, and starting without it would not be what was asked for",
    ),
    ignored_switch("unsafe-no-fsync", "every acknowledged write is synced"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_once() {
        for (position, setting) in SETTINGS.iter().enumerate() {
            let earlier = SETTINGS[..position]
                .iter()
                .any(|earlier| earlier.name == setting.name);
            assert!(!earlier, "{} stands twice", setting.name);
        }
    }

    #[test]
    fn used_settings_say_what_they_do() {
        for setting in SETTINGS {
            assert_eq!(
                setting.treatment == Treatment::Used,
                !setting.help.is_empty(),
                "{}",
                setting.name
            );
        }
    }

    #[test]
    fn names_and_environment_are_etcd_s() {
        let environment = |name| find(name).map(Setting::environment);
        assert_eq!(
            environment("initial-cluster").as_deref(),
            Some("ETCD_INITIAL_CLUSTER")
        );
        assert_eq!(environment("group").as_deref(), Some("ALMADIA_GROUP"));
        assert_eq!(
            find("experimental-corrupt-check-time"),
            find("corrupt-check-time")
        );
        assert_eq!(find("no-such-thing"), None);
    }
}
