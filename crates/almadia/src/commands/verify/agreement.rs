//! `TestAcuerdosConFallos`: what commits while followers are cut off, and what does not.

use std::time::{Duration, Instant};

use almadia_etcd::proto::almadia_v1::LogEntry;
use tokio::task::JoinSet;

use super::lab::{Lab, PATIENCE};
use super::lines::Line;
use super::voice::Voice;
use super::writing::{Fate, Written, put};

/// The follower that is cut off, and who is to lead: the suite's lines name ordinals 0 and 1.
const FIRST: usize = 0;
const LEADER: usize = 1;

/// A write that cannot commit is waited for as long as this: several elections long.
const UNKNOWN_AFTER: Duration = Duration::from_secs(3);
/// Writes at the same time.
const WRITES: usize = 5;
const PAUSE: Duration = Duration::from_millis(50);

/// A follower is cut off, three operations commit without it; it comes back, three more, all have all.
pub async fn follower_cut(lab: &mut Lab, voice: &mut Voice) -> Result<(), String> {
    lab.lead(LEADER).await?;
    voice.says(Line::Cutting(lab.seats[FIRST].ordinal))?;
    lab.cut(&[FIRST]).await?;
    let mut written = lab.write_three(LEADER, "T5a").await?;
    for seat in lab.others(&[FIRST]) {
        good(lab, voice, seat, &written).await?;
    }
    voice.says(Line::Healing(lab.seats[FIRST].ordinal))?;
    lab.heal(&[FIRST]).await?;
    written.extend(lab.write_three(LEADER, "T5b").await?);
    for seat in lab.others(&[]) {
        good(lab, voice, seat, &written).await?;
    }
    lab.logs_are_equal(written[0].index).await
}

async fn good(lab: &Lab, voice: &mut Voice, seat: usize, written: &[Written]) -> Result<(), String> {
    lab.holds(seat, written).await?;
    voice.says(Line::Good(lab.seats[seat].ordinal))
}

/// All followers are cut off: three operations stay undecided, "unknown"; when the followers are back, they and three more
/// commit.
pub async fn no_agreement(lab: &mut Lab, voice: &mut Voice) -> Result<(), String> {
    lab.lead(LEADER).await?;
    let before = lab.raw_log(LEADER, u64::MAX).await?.last;
    // Connected beforehand: the operations must come while the leader still leads.
    let connection = lab.connect(LEADER).await?;
    let followers = lab.others(&[LEADER]);
    for seat in &followers {
        voice.says(Line::Cutting(lab.seats[*seat].ordinal))?;
    }
    lab.cut(&followers).await?;
    let keys: Vec<String> = (1..=3).map(|number| lab.key(&format!("T5c-{number}"))).collect();
    let mut asked = JoinSet::new();
    for key in keys.clone() {
        asked.spawn(put(connection.clone(), key, PATIENCE));
    }
    stay_unknown(&mut asked).await?;
    let pending = pending(lab, before).await?;
    voice.says(Line::NotCommitted(lab.seats[LEADER].ordinal))?;
    heal_in_turn(lab, voice, &followers, &pending).await?;
    for fate in asked.join_all().await {
        if let Fate::Refused(reason) = fate {
            return Err(format!(
                "an operation was in the log and is refused afterwards: {reason}"
            ));
        }
    }
    lab.leader().await?;
    let mut written = pending;
    written.extend(lab.write_three(LEADER, "T5d").await?);
    for seat in lab.others(&[]) {
        good(lab, voice, seat, &written).await?;
    }
    lab.all_read(&keys).await?;
    lab.logs_are_equal(before).await
}

/// None of the operations is answered in time with a yes or a no. Their calls stay open: what has not got into the log yet is
/// proposed when somebody leads again.
async fn stay_unknown(asked: &mut JoinSet<Fate>) -> Result<(), String> {
    let over = tokio::time::sleep(UNKNOWN_AFTER);
    tokio::pin!(over);
    loop {
        let fate = tokio::select! {
            () = &mut over => return Ok(()),
            Some(fate) = asked.join_next() => fate,
            else => return Ok(()),
        };
        match fate.expect("a call neither panics nor is cancelled") {
            Fate::Unknown(_) => {}
            Fate::Written(written) => {
                return Err(format!(
                    "an operation committed at log index {} without a majority",
                    written.index
                ));
            }
            Fate::Refused(reason) => {
                return Err(format!("an operation did not even get into the log: {reason}"));
            }
        }
    }
}

/// The entries that the leader took in and that are not committed.
async fn pending(lab: &Lab, before: u64) -> Result<Vec<Written>, String> {
    let log = lab.raw_log(LEADER, before + 1).await?;
    let own = lab.key("T5c-");
    let is_own = |entry: &&LogEntry| entry.description.contains(&own);
    let pending: Vec<&LogEntry> = log.entries.iter().filter(is_own).collect();
    if pending.is_empty() {
        return Err("the leader took none of the operations into its log while it led".to_owned());
    }
    if let Some(entry) = pending.iter().find(|entry| entry.index <= log.committed) {
        return Err(format!(
            "log index {} is committed without a majority",
            entry.index
        ));
    }
    let written = |entry: &LogEntry| Written {
        key: String::new(),
        index: entry.index,
        term: entry.term,
        leader: lab.seats[LEADER].id,
    };
    Ok(pending.into_iter().map(written).collect())
}

/// The followers come back one after the other. As soon as there is a majority, only the old leader can win an election: nobody
/// else has the pending entries. The rest comes back when those are committed; before, they could outvote it.
async fn heal_in_turn(
    lab: &mut Lab,
    voice: &mut Voice,
    followers: &[usize],
    pending: &[Written],
) -> Result<(), String> {
    let majority = lab.seats.len() / 2 + 1;
    let needed = majority - 1;
    for (count, seat) in followers.iter().enumerate() {
        voice.says(Line::Healing(lab.seats[*seat].ordinal))?;
        lab.heal(&[*seat]).await?;
        if count + 1 == needed {
            lab.holds(LEADER, pending).await?;
        }
    }
    Ok(())
}

/// Five operations at the same time: five entries, on all members.
pub async fn at_the_same_time(lab: &mut Lab, voice: &mut Voice) -> Result<(), String> {
    let leader = lab.leader().await?;
    let before = lab.raw_log(leader.seat, u64::MAX).await?.last;
    let mut asked = JoinSet::new();
    for number in 0..WRITES {
        // Through all members in turn: any of them takes any request.
        let connection = lab.connect(number % lab.seats.len()).await?;
        asked.spawn(put(connection, lab.key(&format!("T5e-{number}")), PATIENCE));
    }
    let mut written = Vec::new();
    for fate in asked.join_all().await {
        match fate {
            Fate::Written(one) => written.push(one),
            Fate::Unknown(reason) | Fate::Refused(reason) => {
                return Err(format!("an operation failed: {reason}"));
            }
        }
    }
    written.sort_by_key(|one| one.index);
    if written.windows(2).any(|pair| pair[0].index == pair[1].index) || written[0].index <= before {
        return Err(format!(
            "five operations did not get five entries of their own: {written:?}"
        ));
    }
    advanced(lab, leader.seat, before, &written).await?;
    for seat in lab.others(&[]) {
        good(lab, voice, seat, &written).await?;
    }
    let keys: Vec<String> = written.iter().map(|one| one.key.clone()).collect();
    lab.all_read(&keys).await
}

/// The log has grown by these entries; whatever else came in between is not of this suite.
async fn advanced(lab: &Lab, seat: usize, before: u64, written: &[Written]) -> Result<(), String> {
    let own = lab.key("T5e-");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = lab.raw_log(seat, before + 1).await?;
        let entries = log
            .entries
            .iter()
            .filter(|entry| entry.description.contains(&own))
            .count();
        if entries == written.len() {
            return Ok(());
        }
        if entries > written.len() || Instant::now() >= deadline {
            return Err(format!(
                "{} operations made {entries} entries in the log",
                written.len()
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
