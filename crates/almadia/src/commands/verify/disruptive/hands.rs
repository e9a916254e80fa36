//! What breaks members where the suite cannot do it by itself: commands that the operator names, or, for members of its own,
//! processes and directories.
//!
//! Commands run in a shell and are told whom they are about by variables: `$MEMBER`, `$ORDINAL`, `$SIZE`.

use std::ffi::OsString;
use std::time::Duration;

use super::super::lab::Seat;
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

/// The commands at work.
pub struct Hands {
    /// As they were given.
    pub arguments: HandsArguments,
}

impl Hands {
    /// Runs a command about a member. What it prints goes to standard error.
    pub async fn run(command: &str, seat: &Seat) -> Result<(), String> {
        let environment = [
            ("MEMBER", seat.name.clone()),
            ("ORDINAL", seat.ordinal.to_string()),
        ];
        shell(command, &environment).await
    }

    /// Runs the command that changes the size.
    pub async fn scale(command: &str, size: usize) -> Result<(), String> {
        shell(command, &[("SIZE", size.to_string())]).await
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
        assert_eq!(Hands::scale("test \"$SIZE\" = 5", 5).await, Ok(()));
        let failed = Hands::scale("exit 7", 5).await.expect_err("it fails");
        assert!(failed.contains("code 7"), "{failed}");
    }
}
