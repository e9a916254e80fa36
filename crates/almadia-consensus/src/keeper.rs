//! The keeper: everything that touches segment files, done by one thread, one job after the other.
//!
//! Jobs are closures over the store's `Keeper`. They may block on the disk; nothing that must be quick waits for
//! them. In a simulation the same jobs run inline in a task.

use almadia_store::disk::Keeper;
use tokio::sync::{mpsc, oneshot};

/// Jobs waiting at most; a caller that finds the queue full waits.
const JOBS_MAX: usize = 64;

type Job = Box<dyn FnOnce(&mut Keeper) + Send>;

/// Hands jobs to the keeper. Cheap to clone; the keeper ends when all handles are gone.
#[derive(Clone, Debug)]
pub struct KeeperHandle {
    jobs: mpsc::Sender<Job>,
}

/// The keeper has ended: the member is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the keeper has ended")]
pub struct KeeperGone;

impl KeeperHandle {
    /// Starts a thread of its own for the keeper.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn_thread(keeper: Keeper) -> std::io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(JOBS_MAX);
        std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || {
                let mut keeper = keeper;
                while let Some(job) = queue.blocking_recv() {
                    job(&mut keeper);
                }
            })?;
        Ok(Self { jobs })
    }

    /// Runs the jobs in a task of the current runtime: for simulation, where a thread would break the order.
    pub fn spawn_inline(keeper: Keeper) -> Self {
        let (jobs, mut queue) = mpsc::channel::<Job>(JOBS_MAX);
        tokio::spawn(async move {
            let mut keeper = keeper;
            while let Some(job) = queue.recv().await {
                job(&mut keeper);
            }
        });
        Self { jobs }
    }

    /// Runs a job and waits for what it gives.
    ///
    /// # Errors
    /// [`KeeperGone`] when the keeper has ended.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Keeper) -> T + Send + 'static,
    ) -> Result<T, KeeperGone> {
        let (give, take) = oneshot::channel();
        let job: Job = Box::new(move |keeper| {
            // Whoever asked may have given up; the job's effect on disk stands all the same.
            let _ = give.send(job(keeper));
        });
        self.jobs.send(job).await.map_err(|_| KeeperGone)?;
        take.await.map_err(|_| KeeperGone)
    }
}
