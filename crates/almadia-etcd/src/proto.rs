//! The messages, clients and servers of the etcd v3 API, generated from `proto/`.
//!
//! Never edited by hand, never holds behaviour. Bytes fields are [`bytes::Bytes`].

/// Reading, writing, watching, leases, members, maintenance, users.
#[allow(missing_docs, clippy::all)]
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// Keys with their values, and events.
#[allow(missing_docs, clippy::all)]
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// Users, roles, permissions.
#[allow(missing_docs, clippy::all)]
pub mod authpb {
    tonic::include_proto!("authpb");
}

/// Locks.
#[allow(missing_docs, clippy::all)]
pub mod v3lockpb {
    tonic::include_proto!("v3lockpb");
}

/// Elections.
#[allow(missing_docs, clippy::all)]
pub mod v3electionpb {
    tonic::include_proto!("v3electionpb");
}

/// Whether a server can serve.
#[allow(missing_docs, clippy::all)]
pub mod grpc_health_v1 {
    tonic::include_proto!("grpc.health.v1");
}

/// What a server serves.
#[allow(missing_docs, clippy::all)]
pub mod grpc_reflection_v1 {
    tonic::include_proto!("grpc.reflection.v1");
}

/// What Almadia offers beyond etcd: looking into a member's log.
#[allow(missing_docs, clippy::all)]
pub mod almadia_v1 {
    tonic::include_proto!("almadia.v1");
}
