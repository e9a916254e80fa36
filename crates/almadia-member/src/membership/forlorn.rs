//! A member that nobody speaks to shows itself to those it was started with, so that it is told if it does not belong any more.
//!
//! Whoever was let in and taken out before it had any of the log knows no member, and no member calls on it; one that was down while
//! all the others were replaced knows only such as are gone. Both would wait for ever.

use crate::founding::FoundingService;
use crate::member::Member;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks. An election is over long before the second one.
const LOOK: Duration = Duration::from_secs(5);

/// Looks until the member ends.
pub async fn look_around(member: Member, founding: FoundingService) {
    let looks = async {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_alone = false;
        loop {
            ticks.tick().await;
            let is_alone = member.standing().borrow().leader.is_none();
            if is_alone && was_alone {
                founding.show_itself().await;
            }
            was_alone = is_alone;
        }
    };
    tokio::select! {
        () = looks => {}
        _ = member.ended() => {}
    }
}
