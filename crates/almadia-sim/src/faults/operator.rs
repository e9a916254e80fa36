//! The person or program that looks after a cluster from outside: adds, removes and replaces members. It asks any member that
//! answers, again and again, as a client would.

use crate::clients::recorder::Recorder;
use crate::trace::Trace;
use crate::world::directory::Directory;
use crate::world::net::Net;
use almadia_command::MemberId;
use almadia_member::{Member, MemberChangeError, MembershipRefusal};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// One attempt takes this long at most.
const ATTEMPT_MAX: Duration = Duration::from_secs(8);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(300);

/// Attempts at most; then it is given up.
const ATTEMPTS_MAX: usize = 60;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// A machine's member is gone for good, if it had one: another one takes its place there, on an empty disk.
    Replace(usize, Option<MemberId>),
    /// A machine's member is to leave.
    Remove(usize, MemberId),
}

/// What the world has to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Start this machine's process, to join.
    Start(usize),
}

/// Jobs and wishes.
#[derive(Default)]
struct Desk {
    jobs: VecDeque<Job>,
    wishes: Vec<Wish>,
    is_busy: bool,
}

/// The operator. Clones are the same one.
#[derive(Clone)]
pub struct Operator {
    desk: Arc<Mutex<Desk>>,
    directory: Directory,
    trace: Trace,
}

impl Operator {
    /// An operator who asks whoever stands in this directory.
    pub fn new(directory: Directory, trace: Trace) -> Self {
        Self {
            desk: Arc::default(),
            directory,
            trace,
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk
            .lock()
            .expect("nobody panics while holding the operator's desk")
    }

    /// One thing more to do.
    pub fn wants(&self, job: Job) {
        self.desk().jobs.push_back(job);
    }

    /// What the world has to do now.
    pub fn wishes(&self) -> Vec<Wish> {
        std::mem::take(&mut self.desk().wishes)
    }

    /// Whether nothing is left to do.
    pub fn is_idle(&self) -> bool {
        let desk = self.desk();
        !desk.is_busy && desk.jobs.is_empty()
    }

    /// Works for ever, on the clients' runtime.
    pub async fn run(self, recorder: Recorder) {
        let _ = recorder;
        loop {
            let job = {
                let mut desk = self.desk();
                let job = desk.jobs.pop_front();
                desk.is_busy = job.is_some();
                job
            };
            match job {
                None => sleep(PAUSE).await,
                Some(job) => self.work(job).await,
            }
        }
    }

    async fn work(&self, job: Job) {
        match job {
            Job::Remove(_, id) => {
                self.remove(id).await;
            }
            Job::Replace(machine, old) => {
                if let Some(old) = old
                    && !self.remove(old).await
                {
                    return;
                }
                self.add(machine).await;
                self.desk().wishes.push(Wish::Start(machine));
            }
        }
    }

    /// True when it is certain.
    async fn remove(&self, id: MemberId) -> bool {
        for attempt in 0..ATTEMPTS_MAX {
            let up = self.directory.up();
            if let Some(machine) = up.get(attempt % up.len().max(1))
                && let Some(entry) = self.directory.get(*machine)
            {
                let asked = entry
                    .process
                    .spawn(async move { entry.member.remove_member(id).await });
                match timeout(ATTEMPT_MAX, asked).await {
                    Ok(Ok(Ok(_)))
                    | Ok(Ok(Err(MemberChangeError::Refused(MembershipRefusal::MemberNotFound)))) => {
                        self.trace.note(&[id.0, attempt as u64]);
                        return true;
                    }
                    _ => {}
                }
            }
            sleep(PAUSE).await;
        }
        false
    }

    async fn add(&self, machine: usize) {
        for attempt in 0..ATTEMPTS_MAX {
            let up = self.directory.up();
            if let Some(asked) = up.get(attempt % up.len().max(1))
                && let Some(entry) = self.directory.get(*asked)
            {
                let asked = entry
                    .process
                    .spawn(add_once(entry.member, vec![Net::url(machine)]));
                let answered = timeout(ATTEMPT_MAX, asked).await;
                if let Ok(Ok(Ok(()) | Err(MemberChangeError::Refused(MembershipRefusal::PeerUrlTaken)))) =
                    answered
                {
                    self.trace.note(&[machine as u64, attempt as u64]);
                    return;
                }
            }
            sleep(PAUSE).await;
        }
    }
}

/// Asks one member for it. The answer to an earlier request may have got lost, and asking again may be refused for another reason
/// than that it is done: so the list is looked at first. Only a list that is not behind counts, since on an old one whoever was
/// removed before may still stand under the same URL.
async fn add_once(member: Member, urls: Vec<String>) -> Result<(), MemberChangeError> {
    if member.read_barrier().await.is_ok() && member.members().iter().any(|one| one.info.peer_urls == urls) {
        return Ok(());
    }
    member.add_member(urls, false).await.map(|_| ())
}
