//! What a running member does about the membership by itself: it sees to it that its name and its clients' addresses are
//! known, it notices that it was removed, and as leader it gives votes to those who wait for theirs.

use super::question::{Change, Publish};
use super::steward::Steward;
use crate::leader::QuestionKind;
use crate::member::Member;
use bytes::Bytes;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks.
const TICK: Duration = Duration::from_millis(100);

/// Between two calls to the leader.
const CALL: Duration = Duration::from_secs(5);

/// How a member is to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

/// Runs until consensus ends.
pub async fn run(member: Member, steward: Steward, card: Card) {
    tokio::select! {
        () = look(&member) => {}
        () = publish(&member, &card) => {}
        () = give_votes(&member, &steward) => {}
        () = call(&member) => {}
        _ = member.ended() => {}
    }
}

/// Notices what the newest applied membership says of this member.
async fn look(member: &Member) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Bytes::new();
    loop {
        ticks.tick().await;
        let now = member.view().membership().clone();
        if now == seen {
            continue;
        }
        seen = now;
        let own = member.members().into_iter().find(|one| one.id == member.id());
        member.note_learner(own.is_some_and(|own| own.is_learner));
        if member.is_removed(member.id()) {
            member.note_removed();
        }
    }
}

/// As etcd's members do at each start, but an entry is written only when there is something new in it.
async fn publish(member: &Member, card: &Card) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let own = member.members().into_iter().find(|one| one.id == member.id());
        let is_new =
            own.is_some_and(|own| own.info.name != card.name || own.info.client_urls != card.client_urls);
        if !is_new {
            continue;
        }
        let publish = Publish {
            member: member.id().0,
            name: card.name.clone(),
            client_urls: card.client_urls.clone(),
        };
        match member.change(Change::Publish(publish)).await {
            Ok(_) => tracing::info!(name = card.name, "this member's name and addresses are known"),
            Err(error) => tracing::debug!(%error, "this member's name is not known yet"),
        }
    }
}

/// Calls the leader now and then. One who was removed while it was cut off, or never asks for votes, learns of it so: its
/// connection is closed, and the next one refused with the reason.
async fn call(member: &Member) {
    let mut ticks = interval(CALL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // No answer is no news: whoever was removed is told when it connects.
        let _ = member.ask_leader(QuestionKind::AreYouThere(true).into()).await;
    }
}

async fn give_votes(member: &Member, steward: &Steward) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        steward.give_votes().await;
        steward.reconciler().work(|| member.draw_new_id()).await;
    }
}
