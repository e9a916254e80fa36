//! What clients are promised while nothing is broken: M1.1 to M1.5 and M1.9.

use crate::deployment::{Deployment, PATIENCE, almadia_at, succeeded};
use almadia::demo::watching::{agreed_leader, statuses};
use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::{PutRequest, RangeRequest};
use tonic::Request;

/// M1.1: one leader; a value written through any member is read through any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_written_through_any_member_is_read_through_any_other() {
    let (deployment, leader) = Deployment::of_three().await;
    let all = statuses(&deployment.urls).await;
    let leaders = all.iter().flatten().filter(|status| {
        status
            .header
            .as_ref()
            .is_some_and(|header| header.member_id == status.leader)
            && status.raft_term == leader.term
    });
    assert_eq!(leaders.count(), 1, "one leader in term {}", leader.term);
    let mut last_revision = 0;
    for writer in 0..3 {
        for reader in 0..3 {
            let (key, value) = (
                format!("k/{writer}/{reader}"),
                format!("from {writer} to {reader}"),
            );
            let revision = deployment.client(writer).await.put(&key, &value).await.unwrap();
            assert!(
                revision > last_revision,
                "revision {revision} after {last_revision}"
            );
            last_revision = revision;
            let pair = deployment
                .client(reader)
                .await
                .get(&key)
                .await
                .unwrap()
                .expect("just written");
            assert_eq!(
                (pair.value.as_ref(), pair.mod_revision),
                (value.as_bytes(), revision)
            );
        }
    }
}

/// M1.2: one call answers member id, term, leader, commit index, applied index; by gRPC, by the gateway and by command line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_member_says_who_it_is_and_where_it_stands() {
    let (deployment, leader) = Deployment::of_three().await;
    deployment.client(0).await.put("k", "v").await.unwrap();
    deployment.caught_up().await;
    let all = statuses(&deployment.urls).await;
    let mut ids = Vec::new();
    for status in all.iter().map(|status| status.as_ref().unwrap()) {
        assert_eq!((status.leader, status.raft_term), (leader.member, leader.term));
        assert!(
            status.raft_index >= 2 && status.raft_applied_index >= 2,
            "{status:?}"
        );
        ids.push(status.header.as_ref().unwrap().member_id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "ids are distinct");
    let text = succeeded(&almadia_at(
        &deployment.urls[..1],
        &["status", "--cluster", "-o", "json"],
    ));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let members = json["members"].as_array().unwrap();
    assert_eq!(members.len(), 3, "{json}");
    for (member, (url, status)) in members.iter().zip(deployment.urls.iter().zip(&all)) {
        let (status, by_gateway) = (status.as_ref().unwrap(), post(url, "/v3/maintenance/status"));
        let id = status.header.as_ref().unwrap().member_id;
        assert_eq!(member["id"], format!("{id:x}"), "{json}");
        assert_eq!(member["leader"], id == leader.member, "am I the leader? {json}");
        assert_eq!(member["leader_id"], format!("{:x}", leader.member), "{json}");
        assert_eq!(member["term"], leader.term, "{json}");
        assert!(member["committed"].as_u64() >= Some(2) && member["applied"].as_u64() >= Some(2));
        // The gateway writes 64-bit numbers as text, as etcd's.
        assert_eq!(by_gateway["header"]["member_id"], id.to_string(), "{by_gateway}");
        assert_eq!(by_gateway["leader"], leader.member.to_string(), "{by_gateway}");
        assert_eq!(by_gateway["raftTerm"], leader.term.to_string(), "{by_gateway}");
        for index in ["raftIndex", "raftAppliedIndex"] {
            let index: u64 = by_gateway[index].as_str().unwrap().parse().unwrap();
            assert!(index >= 2, "{by_gateway}");
        }
    }
}

/// Asks the JSON gateway with an empty object.
fn post(url: &str, path: &str) -> serde_json::Value {
    use std::io::{Read, Write};
    let authority = url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(authority).unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (from, to) = (answer.find('{').unwrap(), answer.rfind('}').unwrap());
    serde_json::from_str(&answer[from..=to]).unwrap()
}

/// M1.3: a write's answer carries log index, term and leader when the client asks, and nothing of it otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_tells_its_place_in_the_log_when_asked() {
    let (deployment, leader) = Deployment::of_three().await;
    let mut last_index = 0;
    for ordinal in 0..3 {
        let mut client = KvClient::new(deployment.client(ordinal).await.channel());
        let put = PutRequest {
            key: "k".into(),
            value: "v".into(),
            ..PutRequest::default()
        };
        let mut asking = Request::new(put.clone());
        asking
            .metadata_mut()
            .insert("almadia-position", "1".parse().unwrap());
        let answer = client.put(asking).await.unwrap();
        let text = |name| {
            answer
                .metadata()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let index: u64 = text("almadia-log-index").expect("asked for").parse().unwrap();
        assert!(index > last_index, "log index {index} after {last_index}");
        last_index = index;
        assert_eq!(text("almadia-term"), Some(leader.term.to_string()));
        assert_eq!(text("almadia-leader"), Some(format!("{:x}", leader.member)));
        assert_eq!(
            text("almadia-leader-name"),
            Some(format!("almadia-{}", leader.ordinal))
        );
        let silent = client.put(put).await.unwrap();
        assert!(
            silent.metadata().get("almadia-log-index").is_none(),
            "nobody asked"
        );
    }
}

/// M1.5: without a majority linearizable reads are not answered, stale ones are, when asked for by name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_read_is_asked_for_by_name() {
    let (mut deployment, leader) = Deployment::of_three().await;
    deployment
        .client(leader.ordinal)
        .await
        .put("k", "v")
        .await
        .unwrap();
    deployment.caught_up().await;
    let left = (leader.ordinal + 1) % 3;
    let others: Vec<usize> = (0..3).filter(|ordinal| *ordinal != left).collect();
    deployment.cluster.kill(&others);
    let mut client = KvClient::new(deployment.client(left).await.channel());
    let linearizable = RangeRequest {
        key: "k".into(),
        ..RangeRequest::default()
    };
    let stale = RangeRequest {
        serializable: true,
        ..linearizable.clone()
    };
    let answer = tokio::time::timeout(PATIENCE, client.range(linearizable))
        .await
        .expect("it gives up by itself");
    assert!(answer.is_err(), "alone, it cannot know what is new: {answer:?}");
    let answer = client.range(stale).await.unwrap().into_inner();
    assert_eq!(answer.kvs[0].value.as_ref(), b"v");
}

/// M1.9: the logs of all members are the same up to the commit index; a command compares them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_compares_the_members_logs() {
    let (mut deployment, leader) = Deployment::of_three().await;
    for number in 0..20 {
        deployment
            .client(number % 3)
            .await
            .put(&format!("k/{number}"), "v")
            .await
            .unwrap();
    }
    deployment.cluster.kill(&[leader.ordinal]);
    deployment.leader_above(leader.term).await;
    deployment
        .client((leader.ordinal + 1) % 3)
        .await
        .put("after", "v")
        .await
        .unwrap();
    deployment.cluster.start(leader.ordinal).unwrap();
    deployment.caught_up().await;
    let text = succeeded(&deployment.almadia(&["log", "--compare"]));
    for name in ["almadia-0", "almadia-1", "almadia-2"] {
        assert!(text.contains(name), "{text}");
    }
}

/// The client commands against a real cluster, through one address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_works() {
    let (deployment, leader) = Deployment::of_three().await;
    let follower = &deployment.urls[(leader.ordinal + 1) % 3..][..1];
    succeeded(&almadia_at(follower, &["put", "color", "red"]));
    assert_eq!(succeeded(&almadia_at(follower, &["get", "color"])), "red\n");
    assert_eq!(succeeded(&almadia_at(follower, &["del", "color"])), "1\n");
    let members = succeeded(&almadia_at(follower, &["members"]));
    assert!(
        (0..3).all(|ordinal| members.contains(&format!("almadia-{ordinal}"))),
        "{members}"
    );
    let check = succeeded(&almadia_at(follower, &["check", "--lang", "es"]));
    assert!(
        check.contains(&format!("lider={}", leader.ordinal)) && check.contains("CON ÉXITO"),
        "{check}"
    );
    assert!(agreed_leader(&statuses(&deployment.urls).await).is_some());
}
