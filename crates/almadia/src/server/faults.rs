//! The switch behind `--enable-fault-injection`: cuts this member's peer connections, heals them, kills the process. Who may
//! ask for that is decided where clients are served.

use almadia_etcd::{CutOff, FaultSwitch};
use almadia_member::Member;
use almadia_member::chronicle::Isolation;
use almadia_server::peers::{Cut, Who};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// The answer that a crash was asked for has this long to get out.
const LAST_ANSWER: Duration = Duration::from_millis(50);

/// This process's switch.
#[derive(Debug)]
pub struct Switch {
    who: Who,
    /// How often it was switched: a cut that ends by itself must not end a later one.
    switched: Arc<Mutex<u64>>,
}

impl Switch {
    /// The switch of a member.
    pub fn new(who: Who) -> Self {
        Self {
            who,
            switched: Arc::default(),
        }
    }
}

impl FaultSwitch for Switch {
    fn cut(&self, from: CutOff, heal_after: Option<Duration>) {
        let now = {
            let mut switched = self.switched.lock().expect("nothing panics while it is held");
            *switched += 1;
            self.who.cut_off(match from {
                CutOff::Nobody => Cut::None,
                CutOff::Some(peers) => Cut::Peers(peers),
                CutOff::All => Cut::All,
            });
            *switched
        };
        let Some(heal_after) = heal_after else { return };
        let (who, switched) = (self.who.clone(), self.switched.clone());
        tokio::spawn(async move {
            tokio::time::sleep(heal_after).await;
            let switched = switched.lock().expect("nothing panics while it is held");
            if *switched == now {
                who.cut_off(Cut::None);
            }
        });
    }

    fn cut_off(&self) -> CutOff {
        match self.who.cut() {
            Cut::None => CutOff::Nobody,
            Cut::Peers(peers) => CutOff::Some(peers),
            Cut::All => CutOff::All,
        }
    }

    fn crash(&self) {
        tracing::warn!("fault injection: a client asked for it, the process ends as by kill -9");
        tokio::spawn(async {
            tokio::time::sleep(LAST_ANSWER).await;
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // Where a process may not kill itself.
            std::process::abort();
        });
    }
}

/// Writes into the member's chronicle when it is cut off and when that is over.
pub async fn tell_of_cuts(member: Member, mut cuts: watch::Receiver<Cut>) {
    while cuts.changed().await.is_ok() {
        let cut = cuts.borrow_and_update().clone();
        member.note_isolation(match cut {
            Cut::None => Isolation::Over,
            Cut::Peers(peers) => Isolation::From(peers.into_iter().collect()),
            Cut::All => Isolation::From(Vec::new()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_command::{ClusterId, GroupId, MemberId};
    use almadia_member::identity::Identity;

    fn switch() -> Switch {
        Switch::new(Who::new(&Identity {
            group: GroupId([1; 16]),
            cluster: ClusterId(7),
            member: MemberId(1),
            name: "m".to_owned(),
            initial: Vec::new(),
        }))
    }

    /// Promise: a cut ends by itself when that was asked for, and does not end a later one.
    #[tokio::test(start_paused = true)]
    async fn a_cut_ends_by_itself() {
        let switch = switch();
        let second = Duration::from_secs(1);
        switch.cut(CutOff::All, Some(second));
        assert_eq!(switch.cut_off(), CutOff::All);
        tokio::time::sleep(second * 2).await;
        assert_eq!(switch.cut_off(), CutOff::Nobody);
        switch.cut(CutOff::All, Some(second));
        let later = CutOff::Some([MemberId(2)].into());
        switch.cut(later.clone(), None);
        tokio::time::sleep(second * 2).await;
        assert_eq!(switch.cut_off(), later);
    }
}
