//! What `almadia status` says of the cluster as a whole: how many members there are and are to be, and what is being done about it.

use almadia_etcd::proto::almadia_v1::admin_client::AdminClient;
use almadia_etcd::proto::almadia_v1::{ClusterMember, ClusterRequest, ClusterResponse};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

use super::cluster::{Cluster, Repeat};

/// What members say of themselves is not held back for longer than this where nobody leads.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Asks any member, which asks its leader; none where the server is another one, or nobody leads.
pub async fn ask(cluster: &Cluster) -> Option<ClusterResponse> {
    let answer = cluster.call(Repeat::Freely, |channel| async move {
        AdminClient::new(channel).cluster(ClusterRequest {}).await
    });
    let answer = tokio::time::timeout(ANSWER_MAX, answer).await.ok()?;
    answer.ok().map(tonic::Response::into_inner)
}

/// For people, below the table.
pub fn text(told: &ClusterResponse) -> String {
    let voters = told.members.iter().filter(|member| member.votes).count();
    let mut text = String::new();
    // Writing into a string never fails.
    let _ = write!(text, "\nmembers: {}, of which {voters} vote", told.members.len());
    let _ = match (told.unattended, told.wished_size) {
        (false, _) => writeln!(text, "; they come and go by hand"),
        (true, Some(0)) => writeln!(text, "; wished size: 0, so all rest and nobody leaves for good"),
        (true, Some(wished)) => writeln!(text, "; wished size: {wished}"),
        (true, None) => writeln!(text, "; the wished size is not known yet"),
    };
    for member in told
        .members
        .iter()
        .filter(|member| !member.heard || !member.votes)
    {
        let _ = writeln!(text, "  {}", trouble(member));
    }
    if !told.doing.is_empty() {
        let _ = writeln!(text, "doing: {}", told.doing);
    }
    for event in &told.events {
        let _ = writeln!(text, "done: {event}");
    }
    text
}

fn trouble(member: &ClusterMember) -> String {
    let name = if member.name.is_empty() {
        "a member that has not started"
    } else {
        &member.name
    };
    let vote = if member.votes { "votes" } else { "has no vote" };
    let heard = if member.heard {
        "is heard of"
    } else {
        "is not heard of"
    };
    format!(
        "{name} ({:x}) {vote}, {heard}, lacks {} entries",
        member.member_id, member.lag
    )
}

/// For programs.
pub fn json(told: Option<&ClusterResponse>) -> Value {
    let Some(told) = told else { return Value::Null };
    let member = |member: &ClusterMember| {
        json!({
            "id": format!("{:x}", member.member_id),
            "name": member.name,
            "ordinal": member.ordinal,
            "votes": member.votes,
            "heard": member.heard,
            "lag": member.lag,
        })
    };
    json!({
        "size": told.members.len(),
        "voters": told.members.iter().filter(|member| member.votes).count(),
        "wished_size": told.wished_size,
        "unattended": told.unattended,
        "doing": told.doing,
        "events": told.events,
        "members": told.members.iter().map(member).collect::<Vec<Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_in_words() {
        let member = |id, votes, heard| ClusterMember {
            member_id: id,
            name: format!("almadia-{id}"),
            ordinal: u32::try_from(id).ok(),
            votes,
            lag: 7,
            heard,
        };
        let told = ClusterResponse {
            members: vec![
                member(0, true, true),
                member(1, true, false),
                member(2, false, true),
            ],
            unattended: true,
            wished_size: Some(3),
            doing: "waiting: almadia-2 is catching up".to_owned(),
            events: vec!["almadia-2 was let in".to_owned()],
        };
        let expected = "
members: 3, of which 2 vote; wished size: 3
  almadia-1 (1) votes, is not heard of, lacks 7 entries
  almadia-2 (2) has no vote, is heard of, lacks 7 entries
doing: waiting: almadia-2 is catching up
done: almadia-2 was let in
";
        assert_eq!(text(&told), expected);
        let json = json(Some(&told));
        assert_eq!(
            (&json["size"], &json["voters"], &json["wished_size"]),
            (&json!(3), &json!(2), &json!(3))
        );
        assert_eq!(json["members"][2]["ordinal"], 2);
    }
}
