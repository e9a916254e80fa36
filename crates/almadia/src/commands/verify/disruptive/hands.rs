//! What breaks members where the suite cannot do it by itself: commands that the operator names, or, for members of its own,
//! processes and directories.
//!
//! Commands run in a shell and are told whom they are about by variables: `$MEMBER`, `$ORDINAL`, `$SIZE`.

use std::ffi::OsString;
use std::time::Duration;

use super::super::lab::{Lab, Seat};
use crate::commands::fault::Exercise;
use crate::commands::lock_command::Running;

/// A command that takes longer has failed.
const COMMAND_MAX: Duration = Duration::from_secs(180);

/// Commands for what no call can do.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct HandsArguments {
    /// Kills the process or pod $MEMBER at once; without it, members with fault injection are asked to crash.
    #[arg(long, value_name = "COMMAND", help_heading = "What --disruptive may use")]
    pub kill_command: Option<String>,
    /// Starts $MEMBER again after it was killed, where nothing else does.
    #[arg(long, value_name = "COMMAND", help_heading = "What --disruptive may use")]
    pub start_command: Option<String>,
    /// Kills $MEMBER, empties its data directory, and starts it again.
    #[arg(long, value_name = "COMMAND", help_heading = "What --disruptive may use")]
    pub wipe_command: Option<String>,
    /// Gives the cluster $SIZE members and returns.
    #[arg(long, value_name = "COMMAND", help_heading = "What --disruptive may use")]
    pub scale_command: Option<String>,
    /// Fills the disk of $MEMBER.
    #[arg(long, value_name = "COMMAND", help_heading = "What --disruptive may use")]
    pub fill_command: Option<String>,
    /// Gives the room on the disk of $MEMBER back.
    #[arg(long, value_name = "COMMAND", help_heading = "What --disruptive may use")]
    pub free_command: Option<String>,
}

/// The commands at work, and what is done for members of the suite's own where there is none.
pub struct Hands {
    /// As they were given.
    pub arguments: HandsArguments,
}

impl Hands {
    /// Kills a member. One that nobody else can kill is asked to crash.
    pub async fn kill(&self, lab: &mut Lab, seat: usize) -> Result<(), String> {
        if let Some(start) = &self.arguments.start_command {
            lab.owe(Errand::about(start, &lab.seats[seat]));
        }
        if let Some(command) = &self.arguments.kill_command {
            return Errand::about(command, &lab.seats[seat]).run().await;
        }
        // The answer may be lost with the process: that it is gone shows when another leads.
        let _ = lab.exercise(&[seat], Exercise::Crash).await;
        match lab.own() {
            Some(own) => own.end_of(seat).await.map(drop),
            None => Ok(()),
        }
    }

    /// Starts it again; where there is no command, somebody else does.
    pub async fn start(&self, lab: &mut Lab, seat: usize) -> Result<(), String> {
        if self.arguments.start_command.is_some() {
            return lab.pay().await;
        }
        lab.own().map_or(Ok(()), |own| own.start_one(seat))
    }

    /// Empties a member's disk.
    pub async fn wipe(&self, lab: &mut Lab, seat: usize) -> Result<(), String> {
        match (&self.arguments.wipe_command, lab.own()) {
            (Some(command), _) => Errand::about(command, &lab.seats[seat]).run().await,
            (None, Some(own)) => own.wipe(seat),
            (None, None) => Err("nobody can empty a disk".to_owned()),
        }
    }

    /// Asks for more members. The size before is owed.
    pub async fn grow(&self, lab: &mut Lab, size: usize) -> Result<(), String> {
        match (&self.arguments.scale_command, lab.own()) {
            (Some(command), _) => {
                lab.owe(Errand::scale(command, lab.seats.len()));
                Errand::scale(command, size).run().await
            }
            (None, Some(own)) => own.scale(size),
            (None, None) => Err("nobody can change the size".to_owned()),
        }
    }

    /// Asks for as many as before.
    pub async fn shrink(&self, lab: &mut Lab, size: usize) -> Result<(), String> {
        if self.arguments.scale_command.is_some() {
            return lab.pay().await;
        }
        lab.own().map_or(Ok(()), |own| own.scale(size))
    }

    /// Makes ready for a full disk: a member of the suite's own gets one that may be filled. Says whether it did, which leaves
    /// the member without its data.
    pub fn give_small_disk(&self, lab: &mut Lab, seat: usize) -> Result<bool, String> {
        match lab.own() {
            Some(own) if self.arguments.fill_command.is_none() => {
                own.wipe_onto_small_disk(seat).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// Fills a member's disk.
    pub async fn fill(&self, lab: &mut Lab, seat: usize) -> Result<(), String> {
        let given = (&self.arguments.fill_command, &self.arguments.free_command);
        match (given, lab.own()) {
            ((Some(fill), Some(free)), _) => {
                let fill = Errand::about(fill, &lab.seats[seat]);
                lab.owe(Errand::about(free, &lab.seats[seat]));
                fill.run().await
            }
            (_, Some(own)) => own.fill_disk(seat),
            _ => Err("nobody can fill a disk".to_owned()),
        }
    }

    /// Gives the room back.
    pub async fn free(&self, lab: &mut Lab, seat: usize) -> Result<(), String> {
        if self.arguments.free_command.is_some() {
            return lab.pay().await;
        }
        lab.own().map_or(Ok(()), |own| own.free_disk(seat))
    }
}

/// A command, and what it is told.
#[derive(Clone, Debug)]
pub struct Errand {
    command: String,
    environment: Vec<(&'static str, String)>,
}

impl Errand {
    /// About a member.
    pub fn about(command: &str, seat: &Seat) -> Self {
        Self {
            command: command.to_owned(),
            environment: vec![
                ("MEMBER", seat.name.clone()),
                ("ORDINAL", seat.ordinal.to_string()),
            ],
        }
    }

    /// About a size.
    pub fn scale(command: &str, size: usize) -> Self {
        Self {
            command: command.to_owned(),
            environment: vec![("SIZE", size.to_string())],
        }
    }

    /// Runs it. What it prints goes to standard error.
    pub async fn run(&self) -> Result<(), String> {
        shell(&self.command, &self.environment).await
    }
}

async fn shell(command: &str, environment: &[(&str, String)]) -> Result<(), String> {
    let words: Vec<OsString> = ["sh", "-c", &format!("exec 1>&2\n{command}")]
        .into_iter()
        .map(OsString::from)
        .collect();
    let mut running = Running::start(&words, environment).map_err(|error| error.to_string())?;
    match tokio::time::timeout(COMMAND_MAX, running.ended()).await {
        Ok(Ok(0)) => Ok(()),
        Ok(Ok(code)) => Err(format!("'{command}' ended with code {code}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            running.terminate();
            Err(format!(
                "'{command}' took longer than {} s",
                COMMAND_MAX.as_secs()
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: the shell is told by variables, and a command that fails is a failure.
    #[tokio::test]
    async fn commands_are_told_whom_they_are_about() {
        assert_eq!(Errand::scale("test \"$SIZE\" = 5", 5).run().await, Ok(()));
        let failed = Errand::scale("exit 7", 5).run().await.expect_err("it fails");
        assert!(failed.contains("code 7"), "{failed}");
    }
}
