//! What a server is told at start, checked before anything is opened.
//!
//! It never reads flags, environment or files: the program does, and puts them here. Every error names the etcd
//! flag that is wrong, because that is what the operator has typed.

mod group;
mod ordinals;

pub use group::{GroupError, group_from_token, parse_group};
pub use ordinals::{Ordinals, OrdinalsError, StatefulSet, WishedSource};

use crate::tls::{TlsError, TlsSettings};
use crate::url::{ClientUrl, Url, UrlError};
use almadia_command::GroupId;
use almadia_consensus::Settings;
use almadia_member::founding::{InitialPeer, InitialState};
use almadia_member::hello::NAME_BYTES_MAX;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Members a cluster can be founded with at most: every one more makes writes slower and none safer.
pub const INITIAL_MEMBERS_MAX: usize = 9;

/// etcd's limit of `--election-timeout`.
const ELECTION_MS_MAX: u64 = 50_000;

/// Everything a server is told. The defaults are etcd's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// `--name`.
    pub name: String,
    /// `--data-dir`.
    pub data_dir: PathBuf,
    /// `--listen-peer-urls`.
    pub listen_peer_urls: Vec<String>,
    /// `--listen-client-urls`.
    pub listen_client_urls: Vec<String>,
    /// `--initial-advertise-peer-urls`.
    pub advertise_peer_urls: Vec<String>,
    /// `--listen-client-http-urls`; with any, `listen_client_urls` are for gRPC alone.
    pub listen_client_http_urls: Vec<String>,
    /// `--listen-metrics-urls`.
    pub listen_metrics_urls: Vec<String>,
    /// `--advertise-client-urls`.
    pub advertise_client_urls: Vec<String>,
    /// `--initial-cluster`, see [`parse_initial_cluster`]; where there are ordinals, what follows from them.
    pub initial_cluster: Vec<InitialPeer>,
    /// `--peer-domain` or `--peer-pattern`; `None` where the members were listed one by one.
    pub ordinals: Option<Ordinals>,
    /// `--unattended-admission`: empty members under a name of this cluster are let in, and dead ones replaced, by itself.
    pub is_unattended: bool,
    /// `--initial-cluster-state`.
    pub initial_state: InitialState,
    /// `--group`, or made of `--initial-cluster-token` by [`group_from_token`].
    pub group: GroupId,
    /// `--heartbeat-interval` in milliseconds.
    pub heartbeat_ms: u64,
    /// `--election-timeout` in milliseconds.
    pub election_ms: u64,
    /// Certificates, and who is let in with which.
    pub tls: TlsSettings,
    /// How long a request waits for its outcome at most (etcd: 5 s plus two election timeouts).
    pub request_limit: Duration,
    /// `--quota-backend-bytes`: live keys and values at most; `None` for no quota.
    pub quota_bytes: Option<u64>,
    /// `--memory-budget-bytes`: memory at most; `None` for 60 % of what this process can have, 0 for no bound.
    pub memory_bytes_max: Option<u64>,
    /// Client connections at the same time at most; more wait in the kernel's queue.
    pub client_connections_max: usize,
    /// Threads of the client runtime; 0 takes one for each core.
    pub client_threads_count: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let urls = |url: &str| vec![url.to_owned()];
        Self {
            name: "default".to_owned(),
            data_dir: PathBuf::from("default.etcd"),
            listen_peer_urls: urls("http://localhost:2380"),
            listen_client_urls: urls("http://localhost:2379"),
            advertise_peer_urls: urls("http://localhost:2380"),
            listen_client_http_urls: Vec::new(),
            listen_metrics_urls: Vec::new(),
            advertise_client_urls: urls("http://localhost:2379"),
            initial_cluster: vec![InitialPeer {
                name: "default".to_owned(),
                peer_urls: urls("http://localhost:2380"),
            }],
            ordinals: None,
            is_unattended: false,
            initial_state: InitialState::New,
            group: group_from_token("etcd-cluster"),
            heartbeat_ms: 100,
            election_ms: 1000,
            tls: TlsSettings::default(),
            request_limit: Duration::from_secs(7),
            quota_bytes: None,
            memory_bytes_max: None,
            client_connections_max: 16 * 1024,
            client_threads_count: 0,
        }
    }
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A flag that needs a value has none.
    #[error("--{flag} must not be empty")]
    Missing {
        /// The flag.
        flag: &'static str,
    },
    /// The name cannot be used.
    #[error("--name {name}: a name has 1 to {NAME_BYTES_MAX} bytes, and neither '=' nor ','")]
    Name {
        /// The name.
        name: String,
    },
    /// A URL cannot be read.
    #[error("--{flag}: {url}: {reason}")]
    Url {
        /// The flag.
        flag: &'static str,
        /// The URL.
        url: String,
        /// Why.
        reason: UrlError,
    },
    /// TLS without a certificate.
    #[error("--{flag}: {url} needs a certificate; give {missing}")]
    NoCertificate {
        /// The flag.
        flag: &'static str,
        /// The URL.
        url: String,
        /// The flags that would name one.
        missing: &'static str,
    },
    /// Settings of TLS that do not go together.
    #[error("{reason}")]
    Tls {
        /// Which, and why not.
        reason: String,
    },
    /// An address that others cannot use.
    #[error(
        "--{flag}: {url}: others must be able to reach it, so it needs a host other than 0.0.0.0 or [::] and a port"
    )]
    Unreachable {
        /// The flag.
        flag: &'static str,
        /// The URL.
        url: String,
    },
    /// An entry of the list is not `name=url`.
    #[error("--initial-cluster: {entry}: expected name=url")]
    InitialEntry {
        /// The entry.
        entry: String,
    },
    /// The list leaves this member out.
    #[error("--initial-cluster does not name this member, {name} (--name)")]
    NotListed {
        /// The member's name.
        name: String,
    },
    /// Too many members.
    #[error("--initial-cluster names {count} members; at most {INITIAL_MEMBERS_MAX} found a cluster")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Two members at one address.
    #[error("--initial-cluster: {url} is the address of two members")]
    SharedUrl {
        /// The address.
        url: String,
    },
    /// The list and the member's own flag differ.
    #[error(
        "--initial-cluster gives {name} the addresses {listed}, --initial-advertise-peer-urls says {advertised}"
    )]
    OwnUrls {
        /// The member's name.
        name: String,
        /// What the list says.
        listed: String,
        /// What the flag says.
        advertised: String,
    },
    /// A member that is not to be.
    #[error("--name {name}: {reason}")]
    Ordinal {
        /// The member's name.
        name: String,
        /// Why not.
        reason: OrdinalsError,
    },
    /// Timers that cannot work together.
    #[error(
        "--election-timeout {election_ms} ms must be at least five times --heartbeat-interval {heartbeat_ms} ms, which is at least 1, and at most {ELECTION_MS_MAX} ms"
    )]
    Timers {
        /// The election timeout.
        election_ms: u64,
        /// The heartbeat interval.
        heartbeat_ms: u64,
    },
}

impl ServerConfig {
    /// Says whether the server can be started with it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_name(&self.name)?;
        if let Some(ordinals) = &self.ordinals {
            ordinals.check().map_err(|reason| ConfigError::Ordinal {
                name: self.name.clone(),
                reason,
            })?;
        }
        check_listen("listen-peer-urls", &self.listen_peer_urls)?;
        check_clients("listen-client-urls", &self.listen_client_urls)?;
        for (flag, urls) in [
            ("listen-client-http-urls", &self.listen_client_http_urls),
            ("listen-metrics-urls", &self.listen_metrics_urls),
        ] {
            if !urls.is_empty() {
                check_clients(flag, urls)?;
            }
        }
        check_advertised("initial-advertise-peer-urls", &self.advertise_peer_urls)?;
        for url in check_clients("advertise-client-urls", &self.advertise_client_urls)? {
            if let ClientUrl::Net(url) = url {
                check_reachable("advertise-client-urls", &url)?;
            }
        }
        self.check_tls()?;
        self.check_initial_cluster()?;
        let heartbeats_fit = self.heartbeat_ms >= 1 && self.election_ms / 5 >= self.heartbeat_ms;
        if !heartbeats_fit || self.election_ms > ELECTION_MS_MAX {
            return Err(ConfigError::Timers {
                election_ms: self.election_ms,
                heartbeat_ms: self.heartbeat_ms,
            });
        }
        Ok(())
    }

    /// The timers of consensus.
    pub fn settings(&self) -> Settings {
        Settings::from_etcd(self.election_ms, self.heartbeat_ms)
    }

    /// What the operator should know of its certificates, one line each.
    pub fn tls_warnings(&self) -> Vec<String> {
        let mut warnings = self.tls.warnings();
        let all = [
            ("listen-client-urls", &self.listen_client_urls, &self.tls.client),
            ("listen-peer-urls", &self.listen_peer_urls, &self.tls.peer),
            (
                "initial-advertise-peer-urls",
                &self.advertise_peer_urls,
                &self.tls.peer,
            ),
        ];
        for (flag, urls, files) in all {
            let plain = urls.iter().find(|url| !wants_tls(url));
            if let Some(url) = plain.filter(|_| files.is_configured()) {
                warnings.push(format!(
                    "--{flag}: {url} is not https, so certificates mean nothing there, neither ours nor a client's"
                ));
            }
        }
        warnings
    }

    /// Hosts that clients may know this member by, for a certificate of its own making.
    pub(crate) fn client_hosts(&self) -> Vec<String> {
        hosts(&[
            &self.listen_client_urls,
            &self.advertise_client_urls,
            &self.listen_client_http_urls,
            &self.listen_metrics_urls,
        ])
    }

    /// Hosts that peers may know this member by.
    pub(crate) fn peer_hosts(&self) -> Vec<String> {
        hosts(&[&self.listen_peer_urls, &self.advertise_peer_urls])
    }

    fn check_tls(&self) -> Result<(), ConfigError> {
        let wrong = |error: TlsError| ConfigError::Tls {
            reason: error.to_string(),
        };
        self.tls.check().map_err(wrong)?;
        let others: Vec<String> = self
            .initial_cluster
            .iter()
            .flat_map(|peer| peer.peer_urls.clone())
            .collect();
        let for_clients = "--cert-file and --key-file, or --auto-tls";
        let for_peers = "--peer-cert-file, --peer-key-file and --peer-trusted-ca-file, or --peer-auto-tls";
        let all = [
            (
                "listen-client-urls",
                &self.listen_client_urls,
                &self.tls.client,
                for_clients,
            ),
            (
                "listen-client-http-urls",
                &self.listen_client_http_urls,
                &self.tls.client,
                for_clients,
            ),
            (
                "listen-metrics-urls",
                &self.listen_metrics_urls,
                &self.tls.client,
                for_clients,
            ),
            (
                "listen-peer-urls",
                &self.listen_peer_urls,
                &self.tls.peer,
                for_peers,
            ),
            (
                "initial-advertise-peer-urls",
                &self.advertise_peer_urls,
                &self.tls.peer,
                for_peers,
            ),
            ("initial-cluster", &others, &self.tls.peer, for_peers),
        ];
        for (flag, urls, files, missing) in all {
            let secure = urls.iter().find(|url| wants_tls(url));
            if let Some(url) = secure.filter(|_| !files.is_configured()) {
                return Err(ConfigError::NoCertificate {
                    flag,
                    url: url.clone(),
                    missing,
                });
            }
        }
        Ok(())
    }

    fn check_initial_cluster(&self) -> Result<(), ConfigError> {
        let flag = "initial-cluster";
        let mut seen = BTreeSet::new();
        for peer in &self.initial_cluster {
            check_name(&peer.name)?;
            check_advertised(flag, &peer.peer_urls)?;
            for url in &peer.peer_urls {
                if !seen.insert(normal(url)) {
                    return Err(ConfigError::SharedUrl { url: url.clone() });
                }
            }
        }
        if self.initial_cluster.len() > INITIAL_MEMBERS_MAX {
            return Err(ConfigError::TooMany {
                count: self.initial_cluster.len(),
            });
        }
        let own = self.initial_cluster.iter().find(|peer| peer.name == self.name);
        let own = own.ok_or_else(|| ConfigError::NotListed {
            name: self.name.clone(),
        })?;
        let as_set = |urls: &[String]| urls.iter().map(|url| normal(url)).collect::<BTreeSet<_>>();
        if as_set(&own.peer_urls) != as_set(&self.advertise_peer_urls) {
            return Err(ConfigError::OwnUrls {
                name: self.name.clone(),
                listed: own.peer_urls.join(","),
                advertised: self.advertise_peer_urls.join(","),
            });
        }
        Ok(())
    }
}

/// Reads `name=url,name=url`; a name that comes several times has several URLs. In order of first appearance.
///
/// # Errors
/// [`ConfigError::InitialEntry`] or [`ConfigError::Missing`].
pub fn parse_initial_cluster(text: &str) -> Result<Vec<InitialPeer>, ConfigError> {
    let mut peers: Vec<InitialPeer> = Vec::new();
    for entry in parse_urls(text) {
        let Some((name, url)) = entry.split_once('=') else {
            return Err(ConfigError::InitialEntry { entry });
        };
        match peers.iter_mut().find(|peer| peer.name == name) {
            Some(peer) => peer.peer_urls.push(url.to_owned()),
            None => peers.push(InitialPeer {
                name: name.to_owned(),
                peer_urls: vec![url.to_owned()],
            }),
        }
    }
    if peers.is_empty() {
        return Err(ConfigError::Missing {
            flag: "initial-cluster",
        });
    }
    Ok(peers)
}

/// Splits a list at its commas; blanks around the parts do not count.
pub fn parse_urls(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn check_name(name: &str) -> Result<(), ConfigError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(['=', ',']) {
        return Err(ConfigError::Name {
            name: name.to_owned(),
        });
    }
    Ok(())
}

fn check_listen(flag: &'static str, urls: &[String]) -> Result<Vec<Url>, ConfigError> {
    if urls.is_empty() {
        return Err(ConfigError::Missing { flag });
    }
    urls.iter()
        .map(|text| match Url::parse(text) {
            Err(reason) => Err(ConfigError::Url {
                flag,
                url: text.clone(),
                reason,
            }),
            Ok(url) => Ok(url),
        })
        .collect()
}

fn check_clients(flag: &'static str, urls: &[String]) -> Result<Vec<ClientUrl>, ConfigError> {
    if urls.is_empty() {
        return Err(ConfigError::Missing { flag });
    }
    let read = |text: &String| {
        ClientUrl::parse(text).map_err(|reason| ConfigError::Url {
            flag,
            url: text.clone(),
            reason,
        })
    };
    urls.iter().map(read).collect()
}

fn check_advertised(flag: &'static str, urls: &[String]) -> Result<(), ConfigError> {
    for url in check_listen(flag, urls)? {
        check_reachable(flag, &url)?;
    }
    Ok(())
}

fn check_reachable(flag: &'static str, url: &Url) -> Result<(), ConfigError> {
    if url.port == 0 || url.host == "0.0.0.0" || url.host == "::" {
        return Err(ConfigError::Unreachable {
            flag,
            url: url.to_string(),
        });
    }
    Ok(())
}

fn wants_tls(url: &str) -> bool {
    ClientUrl::parse(url).is_ok_and(|url| url.is_tls())
}

/// The hosts of all URLs, each once; this machine's own names besides, where one of them stands for all its addresses.
fn hosts(lists: &[&Vec<String>]) -> Vec<String> {
    let mut hosts = BTreeSet::new();
    for text in lists.iter().copied().flatten() {
        match ClientUrl::parse(text) {
            Ok(ClientUrl::Net(url)) if url.host != "0.0.0.0" && url.host != "::" => {
                hosts.insert(url.host);
            }
            _ => hosts.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned)),
        }
    }
    hosts.into_iter().collect()
}

/// One text for each address, so that `http://a:1` and `http://a:1/` are the same.
fn normal(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.to_string())
}

#[cfg(test)]
mod tests;
