//! Waiting for members to reach a state, by asking them until they say so or the time is up. It changes nothing.

use super::client;
use almadia_etcd::proto::etcdserverpb::StatusResponse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long one question may take, and the pause between two rounds.
const ASK_MAX: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// What the members at these URLs say of themselves, in the same order.
pub type Statuses = Vec<Result<StatusResponse, String>>;

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// Its place among the URLs that were asked.
    pub ordinal: usize,
    /// Its id.
    pub member: u64,
    /// Its term.
    pub term: u64,
}

/// Asks all members at once.
pub async fn statuses(urls: &[String]) -> Statuses {
    let mut asked = tokio::task::JoinSet::new();
    for (ordinal, url) in urls.iter().cloned().enumerate() {
        asked.spawn(async move { (ordinal, client::status(&url, ASK_MAX).await) });
    }
    let mut answers: BTreeMap<usize, Result<StatusResponse, String>> =
        asked.join_all().await.into_iter().collect();
    (0..urls.len())
        .map(|ordinal| answers.remove(&ordinal).expect("every task answers"))
        .collect()
}

/// The member that says it leads in the highest term, if a majority of all agree with it on leader and term.
pub fn agreed_leader(statuses: &Statuses) -> Option<Leader> {
    let answers = || {
        statuses
            .iter()
            .enumerate()
            .filter_map(|(ordinal, status)| Some((ordinal, status.as_ref().ok()?)))
    };
    let says_so = |status: &StatusResponse| {
        status
            .header
            .as_ref()
            .is_some_and(|header| header.member_id == status.leader)
    };
    let (ordinal, status) = answers()
        .filter(|(_, status)| status.leader != 0 && says_so(status))
        .max_by_key(|(_, status)| status.raft_term)?;
    let agreeing = answers()
        .filter(|(_, other)| other.leader == status.leader && other.raft_term == status.raft_term)
        .count();
    (agreeing > statuses.len() / 2).then_some(Leader {
        ordinal,
        member: status.leader,
        term: status.raft_term,
    })
}

/// Waits until `reached` finds what it looks for in the members' statuses.
///
/// # Errors
/// What the members said last, when the time is up.
pub async fn wait_for<T>(
    urls: &[String],
    limit: Duration,
    mut reached: impl FnMut(&Statuses) -> Option<T>,
) -> Result<T, String> {
    let deadline = Instant::now() + limit;
    loop {
        let statuses = statuses(urls).await;
        if let Some(found) = reached(&statuses) {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(describe(&statuses));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The revision of every member, if all answer and have the same one, with everything they know to be committed applied.
pub fn same_revision(statuses: &Statuses) -> Option<i64> {
    let mut revisions = Vec::with_capacity(statuses.len());
    let mut committed = 0;
    for status in statuses {
        let status = status.as_ref().ok()?;
        revisions.push((status.header.as_ref()?.revision, status.raft_applied_index));
        committed = committed.max(status.raft_index);
    }
    let (first, _) = *revisions.first()?;
    let all_equal = revisions
        .iter()
        .all(|(revision, applied)| *revision == first && *applied >= committed);
    all_equal.then_some(first)
}

/// One line on what each member said.
pub fn describe(statuses: &Statuses) -> String {
    let each: Vec<String> = statuses
        .iter()
        .enumerate()
        .map(|(ordinal, status)| match status {
            Ok(status) => format!(
                "almadia-{ordinal}: term {}, leader {:x}, committed {}, applied {}, revision {}",
                status.raft_term,
                status.leader,
                status.raft_index,
                status.raft_applied_index,
                status.header.as_ref().map_or(0, |header| header.revision)
            ),
            Err(reason) => format!("almadia-{ordinal}: {reason}"),
        })
        .collect();
    each.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_etcd::proto::etcdserverpb::ResponseHeader;

    fn status(
        member: u64,
        leader: u64,
        term: u64,
        revision: i64,
        applied: u64,
    ) -> Result<StatusResponse, String> {
        Ok(StatusResponse {
            header: Some(ResponseHeader {
                member_id: member,
                revision,
                ..ResponseHeader::default()
            }),
            leader,
            raft_term: term,
            raft_index: 10,
            raft_applied_index: applied,
            ..StatusResponse::default()
        })
    }

    fn gone() -> Result<StatusResponse, String> {
        Err("connection refused".to_owned())
    }

    #[test]
    fn a_leader_is_one_that_a_majority_follows() {
        let leader = Some(Leader {
            ordinal: 1,
            member: 11,
            term: 3,
        });
        assert_eq!(
            agreed_leader(&vec![status(10, 11, 3, 1, 1), status(11, 11, 3, 1, 1), gone()]),
            leader
        );
        assert_eq!(
            agreed_leader(&vec![status(10, 11, 2, 1, 1), status(11, 11, 3, 1, 1), gone()]),
            None,
            "an older term"
        );
        assert_eq!(
            agreed_leader(&vec![gone(), status(11, 11, 3, 1, 1), gone()]),
            None,
            "alone"
        );
        assert_eq!(
            agreed_leader(&vec![status(10, 11, 3, 1, 1), gone(), status(12, 11, 3, 1, 1)]),
            None,
            "it does not say so"
        );
        let old_and_new = vec![
            status(10, 10, 2, 1, 1),
            status(11, 11, 3, 1, 1),
            status(12, 11, 3, 1, 1),
        ];
        assert_eq!(agreed_leader(&old_and_new), leader);
    }

    #[test]
    fn caught_up_means_the_same_revision_and_everything_applied() {
        assert_eq!(
            same_revision(&vec![status(1, 1, 1, 5, 10), status(2, 1, 1, 5, 10)]),
            Some(5)
        );
        assert_eq!(
            same_revision(&vec![status(1, 1, 1, 5, 10), status(2, 1, 1, 5, 9)]),
            None,
            "not all applied"
        );
        assert_eq!(
            same_revision(&vec![status(1, 1, 1, 5, 10), status(2, 1, 1, 4, 10)]),
            None
        );
        assert_eq!(same_revision(&vec![status(1, 1, 1, 5, 10), gone()]), None);
    }
}
