//! Follows a stream of a cluster for as long as the user likes: over members that go away, until Ctrl-C.
//!
//! Knows nothing of what streams carry: a [`Followed`] opens its stream where it left off and takes the messages.

use std::time::Duration;

use tonic::Streaming;

use super::cluster::Cluster;
use super::error::CommandError;
use super::interrupt::Interrupt;

/// Pause between attempts to open a stream again: the first and the longest.
const BACK_OFF_MIN: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(2);

/// What to do after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait for the next one.
    GoOn,
    /// The same; this one only said that the stream is open.
    Opened,
    /// Open the stream again, with another login.
    Again,
    /// All that was wanted is there.
    End,
}

/// Something that streams.
pub trait Followed {
    /// What the stream carries.
    type Message;

    /// Opens the stream, the second time where it left off.
    fn open(
        &mut self,
        cluster: &Cluster,
    ) -> impl Future<Output = Result<Streaming<Self::Message>, CommandError>>;

    /// Takes a message.
    fn take(&mut self, message: Self::Message, cluster: &Cluster) -> Result<Next, CommandError>;
}

/// Follows until the end, Ctrl-C (both are well) or a refusal. The first opening must succeed in the command's time; after that
/// it is tried for ever, and an outage is told on standard error.
pub async fn follow<F: Followed>(followed: &mut F, cluster: &Cluster) -> Result<(), CommandError> {
    let mut interrupt = Interrupt::new()?;
    tokio::select! {
        ended = follow_on(followed, cluster) => ended,
        _ = interrupt.wait() => Ok(()),
    }
}

async fn follow_on<F: Followed>(followed: &mut F, cluster: &Cluster) -> Result<(), CommandError> {
    let mut was_open = false;
    let mut back_off = BACK_OFF_MIN;
    let mut is_told = false;
    loop {
        match followed.open(cluster).await {
            Ok(mut stream) => {
                was_open = true;
                match read(followed, &mut stream, cluster).await? {
                    Read::End => return Ok(()),
                    Read::Again => {}
                    Read::Broken { messages, reason } => {
                        if messages > 0 {
                            (is_told, back_off) = (false, BACK_OFF_MIN);
                        }
                        tell(&mut is_told, &reason);
                    }
                }
            }
            Err(error @ (CommandError::Unreachable { .. } | CommandError::NotServed { .. })) if was_open => {
                tell(&mut is_told, &error.to_string());
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(back_off).await;
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

/// How a stream ended.
enum Read {
    /// Nothing more is wanted.
    End,
    /// It has to be opened again, with another login.
    Again,
    /// It has to be opened again, perhaps on another member.
    Broken {
        /// How many messages came that carried something.
        messages: usize,
        /// Why it ended.
        reason: String,
    },
}

async fn read<F: Followed>(
    followed: &mut F,
    stream: &mut Streaming<F::Message>,
    cluster: &Cluster,
) -> Result<Read, CommandError> {
    let mut messages = 0;
    let reason = loop {
        match stream.message().await {
            Ok(Some(message)) => match followed.take(message, cluster)? {
                Next::GoOn => messages += 1,
                Next::Opened => {}
                Next::Again => return Ok(Read::Again),
                Next::End => return Ok(Read::End),
            },
            Ok(None) => break "the member ended it".to_owned(),
            Err(status) => match cluster.end_of_stream(&status) {
                Some(error) => return Err(error),
                None => break status.message().to_owned(),
            },
        }
    };
    Ok(Read::Broken { messages, reason })
}

/// Once for an outage, however long it lasts.
fn tell(is_told: &mut bool, reason: &str) {
    if !*is_told {
        eprintln!("almadia: interrupted, will go on where it left off: {reason}");
    }
    *is_told = true;
}
