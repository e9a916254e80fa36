//! The almadia program: one binary that serves, asks, shows and measures.
//!
//! Reads the command line and hands over; nothing is decided here.

use std::process::ExitCode;

use almadia::{bench, cert, commands, demo, server};
use clap::{CommandFactory, Parser, Subcommand};

/// Rust's usual allocator gives memory back late and takes locks; a server of many small values feels both.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A strongly consistent key/value store that speaks the etcd v3 API.
#[derive(Debug, Parser)]
#[command(
    name = "almadia",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Exit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 cluster not reachable or without leader (nothing was
changed), 4 no such key, 5 a write was sent and its fate is unknown.

Examples:
  almadia demo                                a cluster to play with
  almadia put color red && almadia get color
  almadia status --cluster --endpoints almadia-0.almadia:2379"
)]
struct Program {
    #[command(flatten)]
    global: commands::global::Global,
    #[command(flatten)]
    login: commands::login::LoginArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a member of a cluster; takes etcd's flags and environment.
    Server(server::Flags),
    /// Run a whole cluster on this machine, to look at.
    Demo(demo::Flags),
    #[command(flatten)]
    Client(commands::ClientCommand),
    /// Measure any etcd v3 cluster, or two side by side.
    Bench(Box<bench::BenchArguments>),
    /// Make certificates for tests and small set-ups, and show them.
    #[command(subcommand)]
    Cert(cert::CertCommand),
    /// Print the completion script of a shell.
    Completions(commands::completions::CompletionsArguments),
}

fn main() -> ExitCode {
    let program = Program::parse_from(server::with_two_dashes(server::called_as_etcd(
        std::env::args_os(),
    )));
    match program.command {
        Command::Server(flags) => server::run(flags),
        Command::Demo(flags) => demo::run(flags, program.global.output),
        Command::Client(command) => commands::run(&command, &program.global, &program.login),
        Command::Bench(arguments) => bench::run(&arguments, &program.global),
        Command::Cert(command) => cert::run(&command, program.global.output),
        Command::Completions(arguments) => {
            let printed = commands::completions::run(&arguments, &mut Program::command());
            commands::finish(printed.map(|()| commands::error::EXIT_OK))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: no two flags contradict each other.
    #[test]
    fn the_command_line_is_consistent() {
        Program::command().debug_assert();
    }

    /// Promise: flags of the client may stand before or after the command.
    #[test]
    fn client_flags_stand_anywhere() {
        for line in ["almadia --timeout 1s get a", "almadia get a --timeout 1s"] {
            let program = Program::try_parse_from(line.split(' ')).expect("valid");
            assert_eq!(program.global.timeout, std::time::Duration::from_secs(1));
        }
    }
}
