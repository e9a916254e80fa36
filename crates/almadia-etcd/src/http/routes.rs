//! Which path of the gateway is which method, as the annotations of etcd's protocol files have it.
//!
//! Paths stand for themselves: nothing is decoded, joined or shortened, so an odd path is no other path's twin.

use crate::reflection;
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Where the gateway's paths begin: today's name and the two that it had before.
pub(super) const PREFIXES: [&str; 3] = ["/v3/", "/v3beta/", "/v3alpha/"];

/// A method with its paths below the prefix.
type Paths = (&'static str, &'static [&'static str]);

/// All services with their methods.
const PATHS: [(&str, &[Paths]); 8] = [
    (
        "etcdserverpb.KV",
        &[
            ("Range", &["kv/range"]),
            ("Put", &["kv/put"]),
            ("DeleteRange", &["kv/deleterange"]),
            ("Txn", &["kv/txn"]),
            ("Compact", &["kv/compaction"]),
        ],
    ),
    ("etcdserverpb.Watch", &[("Watch", &["watch"])]),
    (
        "etcdserverpb.Lease",
        &[
            ("LeaseGrant", &["lease/grant"]),
            ("LeaseRevoke", &["lease/revoke", "kv/lease/revoke"]),
            ("LeaseKeepAlive", &["lease/keepalive"]),
            ("LeaseTimeToLive", &["lease/timetolive", "kv/lease/timetolive"]),
            ("LeaseLeases", &["lease/leases", "kv/lease/leases"]),
        ],
    ),
    (
        "etcdserverpb.Cluster",
        &[
            ("MemberAdd", &["cluster/member/add"]),
            ("MemberRemove", &["cluster/member/remove"]),
            ("MemberUpdate", &["cluster/member/update"]),
            ("MemberList", &["cluster/member/list"]),
            ("MemberPromote", &["cluster/member/promote"]),
        ],
    ),
    (
        "etcdserverpb.Maintenance",
        &[
            ("Alarm", &["maintenance/alarm"]),
            ("Status", &["maintenance/status"]),
            ("Defragment", &["maintenance/defragment"]),
            ("Hash", &["maintenance/hash"]),
            ("HashKV", &["maintenance/hashkv"]),
            ("Snapshot", &["maintenance/snapshot"]),
            ("MoveLeader", &["maintenance/transfer-leadership"]),
            ("Downgrade", &["maintenance/downgrade"]),
        ],
    ),
    (
        "etcdserverpb.Auth",
        &[
            ("AuthEnable", &["auth/enable"]),
            ("AuthDisable", &["auth/disable"]),
            ("AuthStatus", &["auth/status"]),
            ("Authenticate", &["auth/authenticate"]),
            ("UserAdd", &["auth/user/add"]),
            ("UserGet", &["auth/user/get"]),
            ("UserList", &["auth/user/list"]),
            ("UserDelete", &["auth/user/delete"]),
            ("UserChangePassword", &["auth/user/changepw"]),
            ("UserGrantRole", &["auth/user/grant"]),
            ("UserRevokeRole", &["auth/user/revoke"]),
            ("RoleAdd", &["auth/role/add"]),
            ("RoleGet", &["auth/role/get"]),
            ("RoleList", &["auth/role/list"]),
            ("RoleDelete", &["auth/role/delete"]),
            ("RoleGrantPermission", &["auth/role/grant"]),
            ("RoleRevokePermission", &["auth/role/revoke"]),
        ],
    ),
    (
        "v3lockpb.Lock",
        &[("Lock", &["lock/lock"]), ("Unlock", &["lock/unlock"])],
    ),
    (
        "v3electionpb.Election",
        &[
            ("Campaign", &["election/campaign"]),
            ("Proclaim", &["election/proclaim"]),
            ("Leader", &["election/leader"]),
            ("Observe", &["election/observe"]),
            ("Resign", &["election/resign"]),
        ],
    ),
];

/// A method that is reached by a path.
pub(super) struct Route {
    /// gRPC's path of the method.
    pub(super) method: String,
    pub(super) input: MessageDescriptor,
    pub(super) output: MessageDescriptor,
    pub(super) takes_stream: bool,
    pub(super) gives_stream: bool,
}

static ROUTES: LazyLock<HashMap<&'static str, Route>> = LazyLock::new(build);

/// The method of a path below the prefix.
pub(super) fn find(path: &str) -> Option<&'static Route> {
    ROUTES.get(path)
}

fn build() -> HashMap<&'static str, Route> {
    let pool = pool();
    let mut routes = HashMap::new();
    for (service, methods) in PATHS {
        let described = pool
            .get_service_by_name(service)
            .expect("the table names services of the protocol files");
        for (name, paths) in methods {
            let method = described
                .methods()
                .find(|method| method.name() == *name)
                .expect("the table names methods of the protocol files");
            for path in *paths {
                routes.insert(*path, Route::of(service, &method));
            }
        }
    }
    routes
}

impl Route {
    fn of(service: &str, method: &MethodDescriptor) -> Self {
        Self {
            method: format!("/{service}/{}", method.name()),
            input: method.input(),
            output: method.output(),
            takes_stream: method.is_client_streaming(),
            gives_stream: method.is_server_streaming(),
        }
    }
}

/// The protocol files that were laid down when the program was built, each after those it imports.
fn pool() -> DescriptorPool {
    let mut pool = DescriptorPool::new();
    for bytes in reflection::files() {
        pool.decode_file_descriptor_proto(bytes)
            .expect("the build lays down whole protocol files, each after those it imports");
    }
    pool
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::METHODS;
    use prost_reflect::Kind;

    /// B8.1: every method that etcd's gateway has, and no other. RangeStream has no path there either.
    #[test]
    fn b8_1_every_method_has_a_path() {
        for (service, names) in METHODS {
            for name in names {
                let grpc = format!("/{service}/{name}");
                let found = ROUTES.values().filter(|route| route.method == grpc).count();
                let is_etcds = service.starts_with("etcdserverpb.") || service.starts_with("v3");
                let expected = is_etcds && *name != "RangeStream";
                assert_eq!(found > 0, expected, "{grpc}");
            }
        }
        assert_eq!(ROUTES.len(), 51, "three methods have two paths");
    }

    /// What the reader of JSON does not know, no request needs.
    #[test]
    fn requests_have_fields_that_can_be_read() {
        let mut left: Vec<MessageDescriptor> = ROUTES.values().map(|route| route.input.clone()).collect();
        let mut seen = Vec::new();
        while let Some(message) = left.pop() {
            if seen.contains(&message) {
                continue;
            }
            for field in message.fields() {
                assert!(!field.is_map(), "{}", field.full_name());
                match field.kind() {
                    Kind::Message(inner) => left.push(inner),
                    Kind::Int64
                    | Kind::Int32
                    | Kind::Uint64
                    | Kind::Uint32
                    | Kind::Bool
                    | Kind::String
                    | Kind::Bytes
                    | Kind::Enum(_) => {}
                    other => panic!("{} is {other:?}", field.full_name()),
                }
            }
            seen.push(message);
        }
    }
}
