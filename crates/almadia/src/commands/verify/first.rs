//! `TestPrimerasPruebas`: members start and answer, one leads, another leads when that one is cut off, operations commit.

use super::lab::{Lab, Leader};
use super::lines::Line;
use super::voice::Voice;

/// All members start and answer; those that the suite started also stop cleanly, and start again.
pub async fn start(lab: &mut Lab, _voice: &mut Voice) -> Result<(), String> {
    all_answer(lab).await?;
    lab.restart_own().await?;
    all_answer(lab).await
}

async fn all_answer(lab: &Lab) -> Result<(), String> {
    lab.wait("an answer of every member", |statuses| {
        lab.all_are_themselves(statuses).then_some(())
    })
    .await
}

/// Each member is asked; exactly one says that it leads in the term, and all say the same.
pub async fn first_leader(lab: &mut Lab, voice: &mut Voice) -> Result<(), String> {
    voice.says(Line::LookingForLeader)?;
    let leader = lab.leader().await?;
    let statuses = lab.statuses().await;
    let leads = |seat: &usize| {
        let answer = statuses[*seat].answer.as_ref().ok();
        answer.is_some_and(|answer| answer.leader == lab.seats[*seat].id && answer.raft_term == leader.term)
    };
    let leaders: Vec<&str> = (0..lab.seats.len())
        .filter(leads)
        .map(|seat| lab.seats[seat].name.as_str())
        .collect();
    match leaders[..] {
        [_] => Ok(()),
        [] => Err(format!("nobody leads in term {} any more", leader.term)),
        _ => Err(format!("{} all lead in term {}", leaders.join(", "), leader.term)),
    }
}

/// The leader is cut off, another is elected in a higher term, the old one comes back as its follower.
pub async fn new_leader(lab: &mut Lab, voice: &mut Voice) -> Result<(), String> {
    let old = lab.leader().await?;
    voice.says(line_of(lab, old))?;
    lab.cut(&[old.seat]).await?;
    let new = lab.leader_without(old).await?;
    voice.says(line_of(lab, new))?;
    lab.heal(&[old.seat]).await?;
    let after = lab
        .wait("the old leader's return", |statuses| {
            lab.agreed(statuses, &[]).filter(|now| now.term >= new.term)
        })
        .await?;
    if after.seat == old.seat {
        return Err(format!(
            "{} came back and leads again, in term {}",
            lab.seats[old.seat].name, after.term
        ));
    }
    Ok(())
}

/// Three operations in a row commit in three different entries under one leader.
pub async fn three_operations(lab: &mut Lab, _voice: &mut Voice) -> Result<(), String> {
    let leader = lab.leader().await?;
    let written = lab.write_three(leader.seat, "T4").await?;
    let id = lab.seats[leader.seat].id;
    for pair in written.windows(2) {
        if pair[0].index >= pair[1].index {
            return Err(format!(
                "log index {} was followed by {}",
                pair[0].index, pair[1].index
            ));
        }
    }
    if let Some(other) = written
        .iter()
        .find(|written| written.term != leader.term || written.leader != id)
    {
        return Err(format!(
            "the leader changed meanwhile: term {} became {}",
            leader.term, other.term
        ));
    }
    for seat in lab.others(&[]) {
        lab.holds(seat, &written).await?;
    }
    Ok(())
}

fn line_of(lab: &Lab, leader: Leader) -> Line {
    Line::Leader(lab.seats[leader.seat].ordinal, leader.term)
}
