//! Who asks, and what can be done to users and roles, as it stands in the log.
//!
//! Passwords never stand here, only their hashes.

use bytes::Bytes;
use prost::Message;

/// Whose wish a command is.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Actor {
    /// The user's name, as the asked member has verified it.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The revision of users and roles at which it was verified.
    #[prost(uint64, tag = "2")]
    pub auth_revision: u64,
    /// The cluster itself: an expired lease, an alarm. Never set for a client.
    #[prost(bool, tag = "3")]
    pub internal: bool,
}

impl Actor {
    /// The cluster itself.
    pub fn internal() -> Self {
        Self {
            internal: true,
            ..Self::default()
        }
    }
}

/// Change users, roles or whether they count.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AuthChange {
    /// Which change. Absent only in bytes of a newer format.
    #[prost(oneof = "AuthChangeKind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11")]
    pub kind: Option<AuthChangeKind>,
}

/// The kinds of changes.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum AuthChangeKind {
    /// From now on permissions count.
    #[prost(message, tag = "1")]
    Enable(AuthEnable),
    /// From now on they do not.
    #[prost(message, tag = "2")]
    Disable(AuthDisable),
    /// A new user.
    #[prost(message, tag = "3")]
    UserAdd(UserAdd),
    /// A user leaves; the tokens given out end.
    #[prost(message, tag = "4")]
    UserDelete(UserName),
    /// Another password; the tokens given out end.
    #[prost(message, tag = "5")]
    UserChangePassword(UserChangePassword),
    /// A user gets a role.
    #[prost(message, tag = "6")]
    UserGrantRole(UserRole),
    /// A user loses a role.
    #[prost(message, tag = "7")]
    UserRevokeRole(UserRole),
    /// A new role without permissions.
    #[prost(message, tag = "8")]
    RoleAdd(RoleName),
    /// A role leaves, also from its users.
    #[prost(message, tag = "9")]
    RoleDelete(RoleName),
    /// A role gets a permission, in the place of one for the same keys.
    #[prost(message, tag = "10")]
    RoleGrantPermission(RoleGrantPermission),
    /// A role loses the permission for exactly these keys.
    #[prost(message, tag = "11")]
    RoleRevokePermission(RoleRevokePermission),
}

/// See [`AuthChangeKind::Enable`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AuthEnable {
    /// What tokens are signed with, drawn by the member that was asked, so that all members check alike. Used when there is none yet.
    #[prost(bytes = "bytes", tag = "1")]
    pub token_secret: Bytes,
}

/// See [`AuthChangeKind::Disable`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct AuthDisable {}

/// See [`AuthChangeKind::UserAdd`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UserAdd {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its password's bcrypt hash; empty when it has none.
    #[prost(bytes = "bytes", tag = "2")]
    pub password_hash: Bytes,
    /// It has no password and comes by certificate only.
    #[prost(bool, tag = "3")]
    pub no_password: bool,
}

/// A user.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UserName {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// See [`AuthChangeKind::UserChangePassword`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UserChangePassword {
    /// Whose.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The new password's bcrypt hash.
    #[prost(bytes = "bytes", tag = "2")]
    pub password_hash: Bytes,
}

/// A user and a role.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UserRole {
    /// The user's name.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The role's name.
    #[prost(string, tag = "2")]
    pub role: String,
}

/// A role.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RoleName {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// What a role may do with the keys of a range.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Permission {
    /// Read, write or both, by etcd's numbers (0, 1, 2); other numbers are kept and permit nothing.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// First key.
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
    /// Empty: only `key`. One zero byte: from `key` on. Else: up to but without it.
    #[prost(bytes = "bytes", tag = "3")]
    pub range_end: Bytes,
}

/// See [`AuthChangeKind::RoleGrantPermission`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RoleGrantPermission {
    /// Which role.
    #[prost(string, tag = "1")]
    pub role: String,
    /// What it may do.
    #[prost(message, optional, tag = "2")]
    pub permission: Option<Permission>,
}

/// See [`AuthChangeKind::RoleRevokePermission`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RoleRevokePermission {
    /// Which role.
    #[prost(string, tag = "1")]
    pub role: String,
    /// As it was granted.
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
    /// As it was granted.
    #[prost(bytes = "bytes", tag = "3")]
    pub range_end: Bytes,
}
