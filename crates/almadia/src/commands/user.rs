//! `almadia user`: who may ask, where access control is on.

use std::io::{BufRead, IsTerminal};

use almadia_etcd::proto::authpb::UserAddOptions;
use almadia_etcd::proto::etcdserverpb::auth_client::AuthClient;
use almadia_etcd::proto::etcdserverpb::{
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest,
    AuthUserGrantRoleRequest, AuthUserListRequest, AuthUserRevokeRoleRequest,
};
use serde_json::{Value, json};

use super::cluster::{Cluster, Repeat, request};
use super::error::CommandError;
use super::output::Report;
use super::terminal;

/// What to do with users.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum UserCommand {
    /// Make a user.
    #[command(after_help = "\
Without a password it is asked for at the terminal, or read from standard input (one line) where there is none.

Examples:
  almadia user add ann
  almadia user add ann < password.txt
  almadia user add ann --no-password          only a client certificate names her")]
    Add(UserAddArguments),
    /// Show a user's roles.
    #[command(after_help = "Examples:\n  almadia user get ann")]
    Get(UserName),
    /// List the users.
    #[command(after_help = "Examples:\n  almadia user list")]
    List,
    /// Remove a user.
    #[command(after_help = "Examples:\n  almadia user delete ann")]
    Delete(UserName),
    /// Give a user another password.
    #[command(after_help = "\
The password is asked for at the terminal, or read from standard input (one line) where there is none. Who is logged in as
this user must log in again.

Examples:
  almadia user passwd ann
  almadia user passwd ann < password.txt")]
    Passwd(UserName),
    /// Give a user a role.
    #[command(after_help = "Examples:\n  almadia user grant-role ann reader")]
    GrantRole(UserAndRole),
    /// Take a role from a user.
    #[command(after_help = "Examples:\n  almadia user revoke-role ann reader")]
    RevokeRole(UserAndRole),
}

/// Whom to make.
#[derive(Clone, clap::Args)]
pub struct UserAddArguments {
    /// The user's name; NAME:PASSWORD gives the password too, for all to see in the list of processes.
    #[arg(value_name = "NAME[:PASSWORD]")]
    pub name: String,
    /// No password will do.
    #[arg(long)]
    pub no_password: bool,
}

/// Written by hand, so that no password gets into a log.
impl std::fmt::Debug for UserAddArguments {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("UserAddArguments").finish_non_exhaustive()
    }
}

/// Which user.
#[derive(Clone, Debug, clap::Args)]
pub struct UserName {
    /// The user's name.
    pub name: String,
}

/// Which user and which role.
#[derive(Clone, Debug, clap::Args)]
pub struct UserAndRole {
    /// The user's name.
    pub name: String,
    /// The role's name.
    pub role: String,
}

/// Runs the command.
pub async fn run(command: &UserCommand, cluster: &Cluster) -> Result<Report, CommandError> {
    match command {
        UserCommand::Add(arguments) => add(arguments, cluster).await,
        UserCommand::Get(arguments) => get(&arguments.name, cluster).await,
        UserCommand::List => list(cluster).await,
        UserCommand::Delete(arguments) => delete(&arguments.name, cluster).await,
        UserCommand::Passwd(arguments) => passwd(&arguments.name, cluster).await,
        UserCommand::GrantRole(arguments) => grant_role(arguments, cluster).await,
        UserCommand::RevokeRole(arguments) => revoke_role(arguments, cluster).await,
    }
}

async fn add(arguments: &UserAddArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let (name, password) = match (arguments.no_password, arguments.name.split_once(':')) {
        (true, _) => (arguments.name.as_str(), String::new()),
        (false, Some((name, password))) => (name, password.to_owned()),
        (false, None) => (arguments.name.as_str(), new_password(&arguments.name)?),
    };
    let message = AuthUserAddRequest {
        name: name.to_owned(),
        password,
        options: Some(UserAddOptions {
            no_password: arguments.no_password,
        }),
        hashed_password: String::new(),
    };
    cluster
        .call(Repeat::OnlyIfNotCarriedOut, |channel| {
            let message = request(message.clone());
            async move { AuthClient::new(channel).user_add(message).await }
        })
        .await?;
    Ok(done(&format!("user {name} made"), json!({ "user": name })))
}

async fn get(name: &str, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = AuthUserGetRequest {
        name: name.to_owned(),
    };
    let answer = cluster
        .call(Repeat::Freely, |channel| {
            let message = request(message.clone());
            async move { AuthClient::new(channel).user_get(message).await }
        })
        .await?;
    let roles = &answer.get_ref().roles;
    Ok(names(roles, json!({ "user": name, "roles": roles })))
}

async fn list(cluster: &Cluster) -> Result<Report, CommandError> {
    let answer = cluster
        .call(Repeat::Freely, |channel| {
            let message = request(AuthUserListRequest {});
            async move { AuthClient::new(channel).user_list(message).await }
        })
        .await?;
    let users = &answer.get_ref().users;
    Ok(names(users, json!({ "users": users })))
}

async fn delete(name: &str, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = AuthUserDeleteRequest {
        name: name.to_owned(),
    };
    cluster
        .call(Repeat::OnlyIfNotCarriedOut, |channel| {
            let message = request(message.clone());
            async move { AuthClient::new(channel).user_delete(message).await }
        })
        .await?;
    Ok(done(&format!("user {name} deleted"), json!({ "user": name })))
}

async fn passwd(name: &str, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = AuthUserChangePasswordRequest {
        name: name.to_owned(),
        password: new_password(name)?,
        hashed_password: String::new(),
    };
    cluster
        .call(Repeat::Freely, |channel| {
            let message = request(message.clone());
            async move { AuthClient::new(channel).user_change_password(message).await }
        })
        .await?;
    Ok(done(
        &format!("password of {name} changed"),
        json!({ "user": name }),
    ))
}

async fn grant_role(arguments: &UserAndRole, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = AuthUserGrantRoleRequest {
        user: arguments.name.clone(),
        role: arguments.role.clone(),
    };
    cluster
        .call(Repeat::Freely, |channel| {
            let message = request(message.clone());
            async move { AuthClient::new(channel).user_grant_role(message).await }
        })
        .await?;
    let UserAndRole { name, role } = arguments;
    Ok(done(
        &format!("role {role} granted to user {name}"),
        json!({ "user": name, "role": role }),
    ))
}

async fn revoke_role(arguments: &UserAndRole, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = AuthUserRevokeRoleRequest {
        name: arguments.name.clone(),
        role: arguments.role.clone(),
    };
    cluster
        .call(Repeat::OnlyIfNotCarriedOut, |channel| {
            let message = request(message.clone());
            async move { AuthClient::new(channel).user_revoke_role(message).await }
        })
        .await?;
    let UserAndRole { name, role } = arguments;
    Ok(done(
        &format!("role {role} revoked from user {name}"),
        json!({ "user": name, "role": role }),
    ))
}

/// A password from the terminal, or the first line of standard input.
fn new_password(name: &str) -> Result<String, CommandError> {
    if std::io::stdin().is_terminal()
        && let Some(password) = terminal::ask_new_secret(name)?
    {
        return Ok(password);
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    match read.map_err(|error| CommandError::failed(format!("cannot read the password: {error}")))? {
        0 => Err(CommandError::usage(format!(
            "the password of {name} is missing: write it to standard input, or use --no-password"
        ))),
        _ => Ok(line.trim_end_matches(['\n', '\r']).to_owned()),
    }
}

/// A change that was made.
pub fn done(text: &str, json: Value) -> Report {
    Report::new(format!("{text}\n"), json)
}

/// Names, one on each line.
pub fn names(names: &[String], json: Value) -> Report {
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    Report::new(text, json)
}
