//! What a configuration must be, rule by rule, each with the flag it names.

use super::*;

fn three() -> ServerConfig {
    ServerConfig {
        name: "a".into(),
        advertise_peer_urls: vec!["http://a:2380".into()],
        initial_cluster: parse_initial_cluster("a=http://a:2380,b=http://b:2380, c=http://c:2380").unwrap(),
        ..ServerConfig::default()
    }
}

#[test]
fn the_defaults_and_a_usual_list_are_valid() {
    assert_eq!(ServerConfig::default().validate(), Ok(()));
    assert_eq!(three().validate(), Ok(()));
    assert_eq!(ServerConfig::default().settings(), Settings::default());
    let slash = ServerConfig {
        advertise_peer_urls: vec!["http://a:2380/".into()],
        ..three()
    };
    assert_eq!(slash.validate(), Ok(()));
}

#[test]
fn each_error_names_its_flag() {
    type Change = fn(&mut ServerConfig);
    let cases: [(Change, &str); 17] = [
        (|config| config.name.clear(), "--name"),
        (|config| config.name = "x".repeat(256), "--name"),
        (|config| config.name = "a=b".into(), "--name"),
        (
            |config| config.name = "z".into(),
            "--initial-cluster does not name this member, z",
        ),
        (
            |config| config.listen_peer_urls.clear(),
            "--listen-peer-urls must not be empty",
        ),
        (
            |config| config.listen_client_urls[0] = "localhost:2379".into(),
            "--listen-client-urls",
        ),
        (
            |config| config.listen_peer_urls[0] = "https://a:2380".into(),
            "--listen-peer-urls: https://a:2380 needs a certificate",
        ),
        (
            |config| config.advertise_client_urls[0] = "http://0.0.0.0:2379".into(),
            "--advertise-client-urls",
        ),
        (
            |config| config.advertise_peer_urls[0] = "http://a:0".into(),
            "--initial-advertise-peer-urls",
        ),
        (
            |config| config.advertise_peer_urls[0] = "http://a:1".into(),
            "--initial-advertise-peer-urls says http://a:1",
        ),
        (
            |config| config.initial_cluster[1].peer_urls[0] = "b".into(),
            "--initial-cluster: b:",
        ),
        (
            |config| config.initial_cluster[1].peer_urls[0] = "http://a:2380/".into(),
            "address of two members",
        ),
        (
            |config| config.initial_cluster[1].peer_urls[0] = "https://b:1".into(),
            "--initial-cluster: https://b:1 needs a certificate",
        ),
        (|config| config.heartbeat_ms = 0, "--heartbeat-interval"),
        (|config| config.heartbeat_ms = 201, "--election-timeout"),
        (|config| config.election_ms = 50_001, "--election-timeout"),
        (
            |config| {
                config.initial_cluster.extend((0..7).map(|n| InitialPeer {
                    name: format!("n{n}"),
                    peer_urls: vec![format!("http://n{n}:1")],
                }));
            },
            "names 10 members",
        ),
    ];
    for (change, words) in cases {
        let mut config = three();
        change(&mut config);
        let error = config.validate().expect_err(words).to_string();
        assert!(error.contains(words), "{error} should contain {words}");
    }
}

#[test]
fn the_list_of_members() {
    let peers = parse_initial_cluster("a=http://x:1,b=http://y:1,a=http://z:1").unwrap();
    assert_eq!(peers.len(), 2);
    assert_eq!(peers[0].peer_urls, ["http://x:1", "http://z:1"]);
    assert!(matches!(
        parse_initial_cluster(""),
        Err(ConfigError::Missing { .. })
    ));
    assert!(matches!(
        parse_initial_cluster("http://x:1"),
        Err(ConfigError::InitialEntry { .. })
    ));
}
