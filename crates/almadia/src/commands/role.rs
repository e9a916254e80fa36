//! `almadia role`: what users may do with which keys.

use almadia_etcd::proto::authpb::Permission;
use almadia_etcd::proto::authpb::permission::Type;
use almadia_etcd::proto::etcdserverpb::auth_client::AuthClient;
use almadia_etcd::proto::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGetRequest, AuthRoleGrantPermissionRequest,
    AuthRoleListRequest, AuthRoleRevokePermissionRequest,
};
use serde_json::{Map, Value, json};

use super::cluster::{Cluster, Repeat, request};
use super::error::CommandError;
use super::key_range::{KeyArguments, prefix_end};
use super::output::{Report, escaped, insert_bytes, table};
use super::user::{done, names};

/// What to do with roles.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum RoleCommand {
    /// Make a role.
    #[command(after_help = "Examples:\n  almadia role add reader")]
    Add(RoleName),
    /// Show what a role may do.
    #[command(after_help = "Examples:\n  almadia role get reader\n  almadia role get reader -o json")]
    Get(RoleName),
    /// List the roles.
    #[command(after_help = "Examples:\n  almadia role list")]
    List,
    /// Remove a role, also from its users.
    #[command(after_help = "Examples:\n  almadia role delete reader")]
    Delete(RoleName),
    /// Give a role access to keys.
    #[command(
        visible_alias = "grant-permission",
        after_help = "\
A second grant for the same keys replaces the first.

Examples:
  almadia role grant reader read --prefix app/
  almadia role grant writer readwrite a c     all keys from a on, before c
  almadia role grant admin readwrite --prefix \"\""
    )]
    Grant(RoleGrantArguments),
    /// Take a role's access to keys away, as it was granted.
    #[command(
        visible_alias = "revoke-permission",
        after_help = "Examples:\n  almadia role revoke reader --prefix app/\n  almadia role revoke writer a c"
    )]
    Revoke(RoleRevokeArguments),
}

/// Which role.
#[derive(Clone, Debug, clap::Args)]
pub struct RoleName {
    /// The role's name.
    pub name: String,
}

/// What to grant.
#[derive(Clone, Debug, clap::Args)]
pub struct RoleGrantArguments {
    /// The role's name.
    pub name: String,
    /// The kind of access.
    #[arg(value_enum, ignore_case = true)]
    pub access: Access,
    /// Which keys.
    #[command(flatten)]
    pub keys: KeyArguments,
}

/// What to revoke.
#[derive(Clone, Debug, clap::Args)]
pub struct RoleRevokeArguments {
    /// The role's name.
    pub name: String,
    /// Which keys.
    #[command(flatten)]
    pub keys: KeyArguments,
}

/// Kinds of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Access {
    /// Reading and watching.
    Read,
    /// Writing and deleting.
    Write,
    /// Both.
    Readwrite,
}

/// Runs the command.
pub async fn run(command: &RoleCommand, cluster: &Cluster) -> Result<Report, CommandError> {
    match command {
        RoleCommand::Add(arguments) => add(&arguments.name, cluster).await,
        RoleCommand::Get(arguments) => get(&arguments.name, cluster).await,
        RoleCommand::List => list(cluster).await,
        RoleCommand::Delete(arguments) => delete(&arguments.name, cluster).await,
        RoleCommand::Grant(arguments) => grant(arguments, cluster).await,
        RoleCommand::Revoke(arguments) => revoke(arguments, cluster).await,
    }
}

async fn add(name: &str, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = AuthRoleAddRequest {
        name: name.to_owned(),
    };
    cluster
        .call(Repeat::OnlyIfNotCarriedOut, |channel| {
            let message = request(message.clone());
            async move { AuthClient::new(channel).role_add(message).await }
        })
        .await?;
    Ok(done(&format!("role {name} made"), json!({ "role": name })))
}

async fn get(name: &str, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = AuthRoleGetRequest {
        role: name.to_owned(),
    };
    let answer = cluster
        .call(Repeat::Freely, |channel| {
            let message = request(message.clone());
            async move { AuthClient::new(channel).role_get(message).await }
        })
        .await?;
    Ok(render(name, &answer.get_ref().perm))
}

async fn list(cluster: &Cluster) -> Result<Report, CommandError> {
    let answer = cluster
        .call(Repeat::Freely, |channel| {
            let message = request(AuthRoleListRequest {});
            async move { AuthClient::new(channel).role_list(message).await }
        })
        .await?;
    let roles = &answer.get_ref().roles;
    Ok(names(roles, json!({ "roles": roles })))
}

async fn delete(name: &str, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = AuthRoleDeleteRequest {
        role: name.to_owned(),
    };
    cluster
        .call(Repeat::OnlyIfNotCarriedOut, |channel| {
            let message = request(message.clone());
            async move { AuthClient::new(channel).role_delete(message).await }
        })
        .await?;
    Ok(done(&format!("role {name} deleted"), json!({ "role": name })))
}

async fn grant(arguments: &RoleGrantArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let range = arguments.keys.range()?;
    let access = match arguments.access {
        Access::Read => Type::Read,
        Access::Write => Type::Write,
        Access::Readwrite => Type::Readwrite,
    };
    let permission = Permission {
        perm_type: access.into(),
        key: range.key,
        range_end: range.end,
    };
    let message = AuthRoleGrantPermissionRequest {
        name: arguments.name.clone(),
        perm: Some(permission.clone()),
    };
    cluster
        .call(Repeat::Freely, |channel| {
            let message = request(message.clone());
            async move { AuthClient::new(channel).role_grant_permission(message).await }
        })
        .await?;
    let text = format!(
        "{} of {} granted to role {}",
        access_name(permission.perm_type),
        keys(&permission),
        arguments.name
    );
    Ok(done(
        &text,
        json!({ "role": arguments.name, "permission": json(&permission) }),
    ))
}

async fn revoke(arguments: &RoleRevokeArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let range = arguments.keys.range()?;
    let message = AuthRoleRevokePermissionRequest {
        role: arguments.name.clone(),
        key: range.key.clone(),
        range_end: range.end.clone(),
    };
    cluster
        .call(Repeat::OnlyIfNotCarriedOut, |channel| {
            let message = request(message.clone());
            async move { AuthClient::new(channel).role_revoke_permission(message).await }
        })
        .await?;
    let permission = Permission {
        key: range.key,
        range_end: range.end,
        ..Permission::default()
    };
    let text = format!("{} revoked from role {}", keys(&permission), arguments.name);
    Ok(done(&text, json!({ "role": arguments.name })))
}

fn render(name: &str, permissions: &[Permission]) -> Report {
    let rows: Vec<Vec<String>> = permissions
        .iter()
        .map(|permission| vec![access_name(permission.perm_type).to_owned(), keys(permission)])
        .collect();
    let permissions: Vec<Value> = permissions.iter().map(json).collect();
    Report::new(
        table(&["ACCESS", "KEYS"], &rows),
        json!({ "role": name, "permissions": permissions }),
    )
}

fn access_name(access: i32) -> &'static str {
    match Type::try_from(access) {
        Ok(Type::Read) => "read",
        Ok(Type::Write) => "write",
        Ok(Type::Readwrite) => "readwrite",
        Err(_) => "unknown",
    }
}

/// A range of keys for people.
fn keys(permission: &Permission) -> String {
    let (key, end) = (&permission.key[..], &permission.range_end[..]);
    match (key, end) {
        (b"\0", b"\0") => "every key".to_owned(),
        (key, b"") => escaped(key),
        (key, b"\0") => format!("from {} on", escaped(key)),
        (key, end) if prefix_end(key)[..] == *end => format!("prefix {}", escaped(key)),
        (key, end) => format!("from {} on, before {}", escaped(key), escaped(end)),
    }
}

fn json(permission: &Permission) -> Value {
    let mut object = Map::new();
    object.insert("access".into(), access_name(permission.perm_type).into());
    insert_bytes(&mut object, "key", &permission.key);
    insert_bytes(&mut object, "end", &permission.range_end);
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output() {
        let permission = |access: Type, key: &'static str, end: &'static str| Permission {
            perm_type: access.into(),
            key: key.into(),
            range_end: end.into(),
        };
        let permissions = [
            permission(Type::Read, "\0", "\0"),
            permission(Type::Write, "a", ""),
            permission(Type::Readwrite, "app/", "app0"),
            permission(Type::Read, "b", "\0"),
            permission(Type::Read, "c", "e"),
        ];
        let report = render("r", &permissions);
        let expected = "\
ACCESS     KEYS
read       every key
write      a
readwrite  prefix app/
read       from b on
read       from c on, before e
";
        assert_eq!(String::from_utf8(report.text).expect("UTF-8"), expected);
        assert_eq!(report.json["permissions"][2]["end"], "app0");
    }
}
