//! What is known of users and roles, and its bytes in a manifest.

use super::ranges::Ranges;
use crate::table::{Table, TableError};
use almadia_command::Permission;
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The role that may do everything, whether or not it has been made.
pub(super) const ROOT_ROLE: &str = "root";

/// The user without whom permissions cannot count.
pub(super) const ROOT_USER: &str = "root";

/// Reading, by etcd's numbers.
const READ: i32 = 0;
/// Writing.
const WRITE: i32 = 1;
/// Both.
const READ_WRITE: i32 = 2;

/// Users, roles and permissions. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthTable {
    content: Arc<Content>,
}

/// Everything; copied when it is changed while a view holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) enabled: bool,
    /// Grows by one with each change, but not by enabling. As in etcd.
    pub(super) revision: u64,
    /// Tokens given out at an earlier revision have ended for all: permissions did not count for a while.
    pub(super) tokens_since: u64,
    /// Empty before permissions count for the first time.
    pub(super) token_secret: Bytes,
    pub(super) users: BTreeMap<String, User>,
    pub(super) roles: BTreeMap<String, Role>,
}

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub(super) password_hash: Bytes,
    pub(super) no_password: bool,
    pub(super) roles: BTreeSet<String>,
    pub(super) tokens_since: u64,
}

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// By key, and for one key in the order in which they were granted. As etcd lists them.
    permissions: Vec<Permission>,
    /// Follows from the permissions.
    readable: Ranges,
    /// Follows from the permissions.
    writable: Ranges,
}

impl Default for AuthTable {
    fn default() -> Self {
        let content = Content {
            enabled: false,
            revision: 1,
            tokens_since: 0,
            token_secret: Bytes::new(),
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
        };
        Self {
            content: Arc::new(content),
        }
    }
}

impl AuthTable {
    /// Whether permissions count.
    pub fn is_enabled(&self) -> bool {
        self.content.enabled
    }

    /// Starts at 1 and grows with each change of users, roles and permissions, and when permissions cease to count.
    pub fn revision(&self) -> u64 {
        self.content.revision
    }

    /// What tokens are signed with; empty before permissions count for the first time.
    pub fn token_secret(&self) -> &Bytes {
        &self.content.token_secret
    }

    /// A user.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.content.users.get(name)
    }

    /// All users by name.
    pub fn users(&self) -> impl Iterator<Item = (&str, &User)> {
        self.content
            .users
            .iter()
            .map(|(name, user)| (name.as_str(), user))
    }

    /// A role.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.content.roles.get(name)
    }

    /// All roles by name.
    pub fn roles(&self) -> impl Iterator<Item = (&str, &Role)> {
        self.content
            .roles
            .iter()
            .map(|(name, role)| (name.as_str(), role))
    }

    /// Whether a token of `user` that was given out at a revision of this table still holds: the user is there, its password
    /// is the same since, and permissions have counted all the while.
    pub fn honours(&self, user: &str, issued_at: u64) -> bool {
        let since = self
            .user(user)
            .map(|user| user.tokens_since.max(self.content.tokens_since));
        since.is_some_and(|since| issued_at >= since)
    }

    pub(super) fn content_mut(&mut self) -> &mut Content {
        Arc::make_mut(&mut self.content)
    }
}

impl User {
    /// The password's hash as it was given; of no use to a user without a password.
    pub fn password_hash(&self) -> &Bytes {
        &self.password_hash
    }

    /// Whether the user comes by certificate only.
    pub fn has_no_password(&self) -> bool {
        self.no_password
    }

    /// Its roles by name.
    pub fn roles(&self) -> impl Iterator<Item = &str> + Clone {
        self.roles.iter().map(String::as_str)
    }

    /// Whether the user has a role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.contains(role)
    }

    /// Whether the user may do everything.
    pub fn is_root(&self) -> bool {
        self.has_role(ROOT_ROLE)
    }
}

impl Role {
    /// What it may do, by key.
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    pub(super) fn readable(&self) -> &Ranges {
        &self.readable
    }

    pub(super) fn writable(&self) -> &Ranges {
        &self.writable
    }

    /// Adds a permission, in the place of one for the same keys.
    pub(super) fn grant(&mut self, permission: Permission) {
        let same =
            |other: &&mut Permission| other.key == permission.key && other.range_end == permission.range_end;
        if let Some(other) = self.permissions.iter_mut().find(same) {
            other.kind = permission.kind;
        } else {
            let position = self
                .permissions
                .partition_point(|other| other.key <= permission.key);
            self.permissions.insert(position, permission);
        }
        self.derive();
    }

    /// Takes away the permission for exactly these keys; whether there was one.
    pub(super) fn revoke(&mut self, key: &[u8], range_end: &[u8]) -> bool {
        let before = self.permissions.len();
        self.permissions
            .retain(|permission| permission.key != key || permission.range_end != range_end);
        self.derive();
        self.permissions.len() < before
    }

    fn derive(&mut self) {
        let of = |kind: i32| {
            let permissions = self.permissions.iter();
            let meant = permissions.filter(move |permission| [kind, READ_WRITE].contains(&permission.kind));
            Ranges::of(meant.map(|permission| (&permission.key, &permission.range_end)))
        };
        (self.readable, self.writable) = (of(READ), of(WRITE));
    }
}

#[derive(Clone, PartialEq, Message)]
struct WireAuth {
    #[prost(bool, tag = "1")]
    enabled: bool,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(uint64, tag = "3")]
    tokens_since: u64,
    #[prost(bytes = "bytes", tag = "4")]
    token_secret: Bytes,
    #[prost(message, repeated, tag = "5")]
    users: Vec<WireUser>,
    #[prost(message, repeated, tag = "6")]
    roles: Vec<WireRole>,
}

#[derive(Clone, PartialEq, Message)]
struct WireUser {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "bytes", tag = "2")]
    password_hash: Bytes,
    #[prost(bool, tag = "3")]
    no_password: bool,
    #[prost(string, repeated, tag = "4")]
    roles: Vec<String>,
    #[prost(uint64, tag = "5")]
    tokens_since: u64,
}

#[derive(Clone, PartialEq, Message)]
struct WireRole {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    permissions: Vec<Permission>,
}

impl Table for AuthTable {
    const SECTION: &'static str = "auth";

    fn encode(&self) -> Bytes {
        if *self == Self::default() {
            return Bytes::new();
        }
        let users = self.users().map(|(name, user)| WireUser {
            name: name.to_owned(),
            password_hash: user.password_hash.clone(),
            no_password: user.no_password,
            roles: user.roles.iter().cloned().collect(),
            tokens_since: user.tokens_since,
        });
        let roles = self.roles().map(|(name, role)| WireRole {
            name: name.to_owned(),
            permissions: role.permissions.clone(),
        });
        let wire = WireAuth {
            enabled: self.content.enabled,
            revision: self.content.revision,
            tokens_since: self.content.tokens_since,
            token_secret: self.content.token_secret.clone(),
            users: users.collect(),
            roles: roles.collect(),
        };
        wire.encode_to_vec().into()
    }

    fn decode(bytes: Bytes) -> Result<Self, TableError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let wire = WireAuth::decode(bytes).map_err(|error| TableError::new(Self::SECTION, error))?;
        if wire.revision == 0 {
            return Err(TableError::new(Self::SECTION, "it has no revision"));
        }
        let users = wire.users.into_iter().map(|user| {
            let WireUser {
                name,
                password_hash,
                no_password,
                roles,
                tokens_since,
            } = user;
            let roles = roles.into_iter().collect();
            let user = User {
                password_hash,
                no_password,
                roles,
                tokens_since,
            };
            (name, user)
        });
        let roles = wire.roles.into_iter().map(|role| {
            let mut granted = Role::default();
            role.permissions
                .into_iter()
                .for_each(|permission| granted.grant(permission));
            (role.name, granted)
        });
        let content = Content {
            enabled: wire.enabled,
            revision: wire.revision,
            tokens_since: wire.tokens_since,
            token_secret: wire.token_secret,
            users: users.collect(),
            roles: roles.collect(),
        };
        Ok(Self {
            content: Arc::new(content),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> AuthTable {
        let mut table = AuthTable::default();
        let content = table.content_mut();
        content.enabled = true;
        content.revision = 7;
        content.tokens_since = 3;
        content.token_secret = Bytes::from_static(b"secret");
        let user = User {
            password_hash: Bytes::from_static(b"hash"),
            no_password: false,
            roles: ["a".to_owned(), "root".to_owned()].into(),
            tokens_since: 5,
        };
        content.users.insert("ann".to_owned(), user);
        let mut role = Role::default();
        for (kind, key, range_end) in [(0, "b", "c"), (2, "a", "\0"), (1, "b", ""), (9, "x", "")] {
            role.grant(Permission {
                kind,
                key: key.into(),
                range_end: range_end.into(),
            });
        }
        content.roles.insert("a".to_owned(), role);
        table
    }

    /// Bytes of a released format must stay readable: changed only together with the format's version.
    #[test]
    fn golden_bytes_and_back() {
        let bytes = sample().encode();
        let golden = [
            &[8, 1, 16, 7, 24, 3, 34, 6][..],
            b"secret",
            &[42, 22, 10, 3],
            b"ann",
            &[18, 4],
            b"hash",
            &[34, 1, 97, 34, 4],
            b"root",
            &[40, 5, 50, 35, 10, 1, 97],
            &[18, 8, 8, 2, 18, 1, 97, 26, 1, 0],
            &[18, 6, 18, 1, 98, 26, 1, 99],
            &[18, 5, 8, 1, 18, 1, 98],
            &[18, 5, 8, 9, 18, 1, 120],
        ];
        assert_eq!(bytes.as_ref(), golden.concat());
        assert_eq!(AuthTable::decode(bytes), Ok(sample()));
        assert!(AuthTable::default().encode().is_empty());
        assert_eq!(AuthTable::decode(Bytes::new()), Ok(AuthTable::default()));
    }

    /// Row B6.4: a second grant for the same keys replaces the first, wherever it stands (etcd 3.5 adds another when a
    /// permission of the same first key stands before it, so that a withdrawn right stays).
    #[test]
    fn a_second_grant_replaces() {
        let grant = |role: &mut Role, kind: i32, range_end: &'static str| {
            role.grant(Permission {
                kind,
                key: "a".into(),
                range_end: range_end.into(),
            });
        };
        let mut role = Role::default();
        grant(&mut role, READ_WRITE, "c");
        grant(&mut role, READ_WRITE, "b");
        grant(&mut role, READ, "b");
        assert_eq!(role.permissions().len(), 2);
        assert!(role.revoke(b"a", b"c") && !role.revoke(b"a", b"c"));
        assert_eq!(role.writable(), &Ranges::default());
        assert_ne!(role.readable(), &Ranges::default());
    }

    proptest! {
        /// No bytes make the decoder panic.
        #[test]
        fn garbage_is_an_error_or_a_table(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = AuthTable::decode(bytes.into());
        }

        /// Nor do damaged bytes of a real table; what they give can be written and read again.
        #[test]
        fn damage_is_an_error_or_a_table(at in any::<usize>(), with in any::<u8>()) {
            let mut bytes = sample().encode().to_vec();
            let at = at % bytes.len();
            bytes[at] = with;
            if let Ok(table) = AuthTable::decode(bytes.into()) {
                prop_assert_eq!(AuthTable::decode(table.encode()), Ok(table));
            }
        }
    }
}
