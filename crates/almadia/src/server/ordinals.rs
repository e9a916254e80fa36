//! The settings of a member of a set: one pattern for all instead of a list, the ordinal from the name, and who says how many
//! there are to be. It checks form and that they go together; no name is resolved and no file read.

use super::ConfigError;
use super::config::{complain, number, written};
use super::values::{Values, parse_switch};
use almadia_member::naming::{MEMBERS_MAX, Naming, before_ordinal};
use almadia_server::config::{Ordinals, StatefulSet, WishedSource};
use almadia_server::tls::TlsSettings;
use almadia_server::url::{ClientUrl, Url};

/// Where Kubernetes puts what a pod's account may show.
const ACCOUNT_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const PEER_PORT: u64 = 2380;
const CLIENT_PORT: u16 = 2379;

/// Settings that make no sense without a set.
const OF_A_SET: [&str; 3] = ["cluster-size", "peer-port", "wished-size"];

/// A member of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// The others', and how many of them.
    pub ordinals: Ordinals,
    /// Where it listens unless something else is written.
    pub listen: Listen,
    is_tls_for_clients: bool,
}

/// Every address of the machine, since others come by a name that may mean any of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// For peers.
    pub peer: Vec<String>,
    /// For clients.
    pub client: Vec<String>,
}

impl Set {
    /// Where clients reach this member: the host of its peer URL, and the first port that it listens on.
    pub fn client_url(&self, listen: &[String]) -> Option<String> {
        let own = self.ordinals.naming.peer(self.ordinals.own);
        let host = Url::parse(own.peer_urls.first()?).ok()?.host;
        let net = listen.iter().find_map(|text| match ClientUrl::parse(text) {
            Ok(ClientUrl::Net(url)) if url.port != 0 => Some(url),
            _ => None,
        });
        let (is_tls, port) = net.map_or((self.is_tls_for_clients, CLIENT_PORT), |url| {
            (url.is_tls, url.port)
        });
        Some(Url { is_tls, host, port }.to_string())
    }
}

/// What is written of a set; `None` where the members are listed one by one.
///
/// # Errors
/// The first thing that is wrong, in one line.
pub fn read(values: &Values, tls: &TlsSettings) -> Result<Option<Set>, ConfigError> {
    let Some((setting, pattern)) = pattern(values, tls)? else {
        let stray = OF_A_SET.into_iter().find(|name| written(values, name).is_some());
        return match stray {
            Some(name) => Err(complain(
                values,
                name,
                "goes with --peer-domain or --peer-pattern",
            )),
            None => Ok(None),
        };
    };
    if written(values, "initial-cluster").is_some() {
        let advice = format!("members are named either by it or by --{setting}, not by both");
        return Err(complain(values, "initial-cluster", &advice));
    }
    let name = own_name(values)?;
    let naming = Naming::new(&name, &pattern);
    let naming = naming.map_err(|error| ConfigError::new(format!("--{setting}: {error}")))?;
    let own = naming
        .own(&name)
        .map_err(|error| ConfigError::new(format!("--name: {error}")))?;
    let size = size(values)?;
    let wished = wished(values, &name)?;
    let (is_tls, is_tls_for_clients) = (tls.peer.is_configured(), tls.client.is_configured());
    let all = |is_tls: bool, port: u64| vec![format!("{}://[::]:{port}", scheme(is_tls))];
    let peer_port = Url::parse(&naming.peer(own).peer_urls[0]);
    let peer_port = peer_port
        .map_err(|error| complain(values, setting, &error.to_string()))?
        .port;
    Ok(Some(Set {
        name,
        ordinals: Ordinals {
            naming,
            own,
            size,
            wished,
        },
        listen: Listen {
            peer: all(is_tls, peer_port.into()),
            client: all(is_tls_for_clients, CLIENT_PORT.into()),
        },
        is_tls_for_clients,
    }))
}

/// `--unattended-admission`.
///
/// # Errors
/// A switch that is neither on nor off.
pub fn is_unattended(values: &Values, is_set: bool) -> Result<bool, ConfigError> {
    let name = "unattended-admission";
    match written(values, name) {
        None => Ok(is_set),
        Some(text) => parse_switch(text).ok_or_else(|| complain(values, name, "allowed are true and false")),
    }
}

/// The pattern of the members' peer URLs, and the setting it comes from.
fn pattern(values: &Values, tls: &TlsSettings) -> Result<Option<(&'static str, String)>, ConfigError> {
    let (domain, pattern) = (written(values, "peer-domain"), written(values, "peer-pattern"));
    match (domain, pattern) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(complain(
            values,
            "peer-pattern",
            "give it or --peer-domain, not both",
        )),
        (None, Some(pattern)) => Ok(Some(("peer-pattern", pattern.to_owned()))),
        (Some(domain), None) => {
            let is_domain = |text: &str| {
                !text.is_empty()
                    && text
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
                    && !text.starts_with('.')
            };
            if !is_domain(domain) {
                let allowed = "allowed is a domain without scheme and port, like almadia.NAMESPACE.svc";
                return Err(complain(values, "peer-domain", allowed));
            }
            let prefix = before_ordinal(&own_name(values)?);
            let prefix = prefix.map_err(|error| ConfigError::new(format!("--name: {error}")))?;
            let port = number(values, "peer-port", PEER_PORT, 1, u64::from(u16::MAX))?;
            let scheme = scheme(tls.peer.is_configured());
            Ok(Some((
                "peer-domain",
                format!("{scheme}://{prefix}%d.{domain}:{port}"),
            )))
        }
    }
}

fn scheme(is_tls: bool) -> &'static str {
    if is_tls { "https" } else { "http" }
}

/// As written, else the pod's.
fn own_name(values: &Values) -> Result<String, ConfigError> {
    let name = written(values, "name").or(values.pod.name.as_deref());
    let missing = "--name is needed: there is neither POD_NAME nor HOSTNAME in the environment";
    name.map(str::to_owned).ok_or_else(|| ConfigError::new(missing))
}

fn size(values: &Values) -> Result<u32, ConfigError> {
    let name = "cluster-size";
    if written(values, name).is_none() {
        let missing =
            format!("--{name} is needed: how many members found the cluster, from 1 to {MEMBERS_MAX}");
        return Err(ConfigError::new(missing));
    }
    let size = number(values, name, 0, 1, MEMBERS_MAX.into())?;
    Ok(u32::try_from(size).expect("at most MEMBERS_MAX"))
}

fn wished(values: &Values, own_name: &str) -> Result<WishedSource, ConfigError> {
    let name = "wished-size";
    let allowed = "allowed are fixed, statefulset and file:PATH";
    match written(values, name).unwrap_or("fixed") {
        "fixed" => Ok(WishedSource::Fixed),
        "statefulset" => {
            let namespace = values.pod.namespace.clone();
            let missing = "POD_NAMESPACE is needed in the environment (downward API: metadata.namespace)";
            let namespace = namespace.ok_or_else(|| complain(values, name, missing))?;
            let set = before_ordinal(own_name);
            let set = set.map_err(|error| ConfigError::new(format!("--name: {error}")))?;
            let missing = "KUBERNETES_SERVICE_HOST is not in the environment: this is no pod";
            let api = values.pod.api.clone();
            Ok(WishedSource::StatefulSet(StatefulSet {
                api: api.ok_or_else(|| complain(values, name, missing))?,
                account: ACCOUNT_DIRECTORY.into(),
                namespace,
                name: set.trim_end_matches('-').to_owned(),
            }))
        }
        text => match text.strip_prefix("file:").filter(|path| !path.is_empty()) {
            Some(path) => Ok(WishedSource::File(path.into())),
            None => Err(complain(values, name, allowed)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::super::tests::load_all;
    use super::*;
    use almadia_member::founding::InitialState;

    const POD: &[(&str, &str)] = &[
        ("POD_NAME", "almadia-1"),
        ("POD_NAMESPACE", "stores"),
        ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
        ("KUBERNETES_SERVICE_PORT", "443"),
    ];

    #[track_caller]
    fn load(line: &str) -> Settings {
        load_all(line, POD, "").unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[track_caller]
    fn refused(line: &str, environment: &[(&str, &str)], words: &str) {
        let error = load_all(line, environment, "").expect_err(line).to_string();
        assert!(
            error.contains(words) && !error.contains('\n'),
            "{line}: {error} should contain {words}"
        );
    }

    /// M1.12, M5.2: the pod's name and the domain say everything else.
    #[test]
    fn a_pod_s_name_and_a_domain_are_enough() {
        let config = load("--peer-domain almadia.stores.svc.cluster.local --cluster-size 3").server;
        assert_eq!(
            (config.name.as_str(), config.data_dir.to_str()),
            ("almadia-1", Some("almadia-1.almadia"))
        );
        let own = "http://almadia-1.almadia.stores.svc.cluster.local";
        assert_eq!(config.advertise_peer_urls, [format!("{own}:2380")]);
        assert_eq!(config.advertise_client_urls, [format!("{own}:2379")]);
        assert_eq!(config.listen_peer_urls, ["http://[::]:2380"]);
        assert_eq!(config.listen_client_urls, ["http://[::]:2379"]);
        let names: Vec<&str> = config
            .initial_cluster
            .iter()
            .map(|peer| peer.name.as_str())
            .collect();
        assert_eq!(names, ["almadia-0", "almadia-1", "almadia-2"]);
        assert!(config.is_unattended && config.initial_state == InitialState::New);
        assert_eq!(config.ordinals.unwrap().wished, WishedSource::Fixed);
    }

    #[test]
    fn a_pattern_names_hosts_ports_and_addresses() {
        let config = load("--peer-pattern http://almadia-%d.peers:7000 --cluster-size 5 --listen-client-urls http://0.0.0.0:1234").server;
        assert_eq!(config.advertise_peer_urls, ["http://almadia-1.peers:7000"]);
        assert_eq!(config.listen_peer_urls, ["http://[::]:7000"]);
        assert_eq!(config.advertise_client_urls, ["http://almadia-1.peers:1234"]);
        let config =
            load("--peer-pattern http://[fd00::%d]:2380 --cluster-size 2 --wished-size file:/etc/size")
                .server;
        assert_eq!(config.advertise_client_urls, ["http://[fd00::1]:2379"]);
        assert_eq!(
            config.ordinals.unwrap().wished,
            WishedSource::File("/etc/size".into())
        );
        let named = load("--name etcd-0 --peer-pattern http://10.0.0.%d:2380 --cluster-size 1 --unattended-admission=false").server;
        assert!(named.name == "etcd-0" && !named.is_unattended);
        let tls = load("--peer-domain d --cluster-size 3 --peer-auto-tls --auto-tls").server;
        assert_eq!(tls.advertise_peer_urls, ["https://almadia-1.d:2380"]);
        assert_eq!(tls.advertise_client_urls, ["https://almadia-1.d:2379"]);
    }

    /// A member beyond the founders joins, if the size can grow; else it is told that there is no such member.
    #[test]
    fn who_is_beyond_the_founders_joins() {
        let config = load("--peer-domain d --cluster-size 1 --wished-size statefulset").server;
        assert_eq!(config.initial_state, InitialState::Existing);
        let statefulset = StatefulSet {
            api: "https://10.96.0.1:443".into(),
            account: ACCOUNT_DIRECTORY.into(),
            namespace: "stores".into(),
            name: "almadia".into(),
        };
        assert_eq!(
            config.ordinals.unwrap().wished,
            WishedSource::StatefulSet(statefulset)
        );
        refused(
            "--peer-domain d --cluster-size 1",
            POD,
            "--name almadia-1: ordinal 1 is outside --cluster-size 1",
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_in_one_line() {
        for (line, words) in [
            ("--peer-domain d", "--cluster-size is needed"),
            ("--peer-domain d --cluster-size 10", "--cluster-size=10"),
            ("--peer-domain d --cluster-size 0", "--cluster-size=0"),
            (
                "--peer-domain http://d --cluster-size 3",
                "--peer-domain=http://d: allowed is a domain",
            ),
            (
                "--peer-domain d --peer-pattern http://a-%d:1 --cluster-size 3",
                "not both",
            ),
            (
                "--peer-pattern http://a:1 --cluster-size 3",
                "%d must stand in it once",
            ),
            (
                "--peer-pattern http://other-%d.a:1 --cluster-size 3",
                "almadia-1 is no name of this set: expected other-%d",
            ),
            (
                "--peer-pattern ftp://almadia-%d:1 --cluster-size 3",
                "it must begin with http://",
            ),
            (
                "--peer-domain d --cluster-size 3 --initial-cluster almadia-1=http://a:1",
                "not by both",
            ),
            (
                "--peer-domain d --cluster-size 3 --wished-size five",
                "allowed are fixed, statefulset and file:PATH",
            ),
            (
                "--peer-domain d --cluster-size 3 --name almadia",
                "--name: almadia is no name of this set",
            ),
            (
                "--peer-domain d --cluster-size 3 --unattended-admission=maybe",
                "allowed are true and false",
            ),
            ("--cluster-size 3", "goes with --peer-domain or --peer-pattern"),
            ("--wished-size fixed", "goes with --peer-domain"),
        ] {
            refused(line, POD, words);
        }
        refused("--peer-domain d --cluster-size 3", &[], "POD_NAME");
        let nowhere = [("POD_NAME", "almadia-0"), ("POD_NAMESPACE", "n")];
        let line = "--peer-domain d --cluster-size 3 --wished-size statefulset";
        refused(line, &nowhere[..1], "POD_NAMESPACE");
        refused(line, &nowhere, "KUBERNETES_SERVICE_HOST");
        let host = [
            ("HOSTNAME", "almadia-2"),
            ("ALMADIA_CLUSTER_SIZE", "3"),
            ("ALMADIA_PEER_DOMAIN", "d"),
        ];
        assert_eq!(load_all("", &host, "").unwrap().server.name, "almadia-2");
    }
}
