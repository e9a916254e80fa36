//! Whole servers on real directories and loopback sockets.

use super::*;
use crate::config::parse_initial_cluster;
use almadia_command::{Command, Kind, Put, Range};
use std::path::Path;

/// Addresses nobody else on this machine uses: the system's free ports.
fn free_urls(count: usize) -> Vec<String> {
    let held: Vec<_> = (0..count)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    held.iter()
        .map(|listener| format!("http://{}", listener.local_addr().unwrap()))
        .collect()
}

fn configs(directory: &Path, count: usize) -> Vec<ServerConfig> {
    let urls = free_urls(count);
    let list: Vec<String> = urls
        .iter()
        .enumerate()
        .map(|(number, url)| format!("m{number}={url}"))
        .collect();
    let config = |(number, url): (usize, &String)| ServerConfig {
        name: format!("m{number}"),
        data_dir: directory.join(format!("m{number}")),
        listen_peer_urls: vec![url.clone()],
        advertise_peer_urls: vec![url.clone()],
        initial_cluster: parse_initial_cluster(&list.join(",")).unwrap(),
        ..ServerConfig::default()
    };
    urls.iter().enumerate().map(config).collect()
}

/// A server with runtimes of its own, as a process has them: dropping those ends everything it had started.
struct House {
    server: Server,
    clients: Runtime,
    peers: Runtime,
}

fn start(config: &ServerConfig) -> Result<House, ServerError> {
    let (clients, peers) = (runtime("client", 1)?, runtime("raft", 1)?);
    let server = clients.block_on(Server::start(config, peers.handle()))?;
    Ok(House {
        server,
        clients,
        peers,
    })
}

/// Starts again after a stop: the directory is free as soon as the last thread of the former life has ended.
fn start_again(config: &ServerConfig) -> House {
    for _ in 0..1000 {
        match start(config) {
            Err(ServerError::Disk(_)) => std::thread::sleep(Duration::from_millis(5)),
            other => return other.unwrap(),
        }
    }
    panic!("the directory stays in use");
}

fn start_all(configs: &[ServerConfig]) -> Vec<House> {
    std::thread::scope(|scope| {
        let starting: Vec<_> = configs
            .iter()
            .map(|config| scope.spawn(|| start_again(config)))
            .collect();
        starting.into_iter().map(|house| house.join().unwrap()).collect()
    })
}

fn stop(house: House) {
    house.clients.block_on(house.server.shutdown()).unwrap();
    house.peers.shutdown_background();
    house.clients.shutdown_background();
}

fn put(house: &House, key: &'static str, value: &'static str) {
    let put = Put {
        key: key.into(),
        value: value.into(),
        ..Put::default()
    };
    let proposed = house.server.member().propose(Command::from(Kind::Put(put)));
    house.clients.block_on(proposed).unwrap().outcome.result.unwrap();
}

fn get(house: &House, key: &'static str) -> Option<Vec<u8>> {
    let member = house.server.member();
    house.clients.block_on(member.read_barrier()).unwrap();
    let range = Range {
        key: key.into(),
        ..Range::default()
    };
    let answer = member.view().range(&range).unwrap();
    answer.records.first().map(|record| record.value().to_vec())
}

/// Three servers with empty directories found one cluster; what is written through one is read through each; and
/// again after all have been stopped and started.
#[test]
fn three_servers_are_one_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let configs = configs(directory.path(), 3);
    let houses = start_all(&configs);
    put(&houses[1], "color", "red");
    for house in &houses {
        assert_eq!(get(house, "color").as_deref(), Some(&b"red"[..]));
        assert_eq!(house.server.member().status().members.len(), 3);
    }
    let ids = |houses: &[House]| {
        houses
            .iter()
            .map(|house| house.server.member().id())
            .collect::<Vec<_>>()
    };
    let before = ids(&houses);
    houses.into_iter().for_each(stop);
    let houses = start_all(&configs);
    assert_eq!(ids(&houses), before, "an id is kept");
    assert_eq!(get(&houses[2], "color").as_deref(), Some(&b"red"[..]));
    put(&houses[0], "color", "blue");
    assert_eq!(get(&houses[1], "color").as_deref(), Some(&b"blue"[..]));
    houses.into_iter().for_each(stop);
}

#[test]
fn a_directory_in_use_and_a_taken_port_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let config = &configs(directory.path(), 1)[0];
    let house = start(config).unwrap();
    assert!(matches!(start(config).err(), Some(ServerError::Disk(_))));
    let elsewhere = ServerConfig {
        data_dir: directory.path().join("other"),
        ..config.clone()
    };
    assert!(matches!(start(&elsewhere).err(), Some(ServerError::Listen(_))));
    stop(house);
    stop(start_again(config));
    let other_name = ServerConfig {
        name: "x".into(),
        data_dir: directory.path().join("other"),
        ..config.clone()
    };
    assert!(matches!(start(&other_name).err(), Some(ServerError::Identity(_))));
}
