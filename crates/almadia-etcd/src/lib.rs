//! The etcd v3 edge: translates etcd's gRPC services into commands and reads of one member.
//!
//! This is the only crate that knows etcd's services, codes and texts. It keeps no state beyond a request or a
//! stream and decides nothing about the data: form is checked here, content where the command is applied.
//!
//! A request's way: [`serve`] (connections) → [`Edge`] (which method) → `wire` (bytes to message) → [`check`] (form) →
//! [`translate`] (message to command) → [`Backend`] (the member) → `encode` (outcome to bytes). What is refused is
//! in [`error`].

mod admin;
mod auth;
pub mod backend;
mod budget;
mod caller;
pub mod check;
mod cluster;
pub mod coalesce;
mod compactor;
mod config;
mod connection;
mod election;
mod encode;
pub mod error;
mod faults;
mod health;
mod http;
mod intake;
mod kv;
mod lease;
mod limits;
mod lock;
mod maintenance;
mod metrics;
mod origin;
mod pieces;
pub mod position;
pub mod proto;
mod range_stream;
mod reflection;
mod serve;
mod served;
mod service;
mod sign;
mod slots;
pub mod slow;
mod stop;
mod stream;
pub mod translate;
mod watch;
mod wire;

pub use auth::{AuthConfig, Jwt, JwtError, TokenKind};
pub use backend::{
    Applied, AskError, Backend, ClusterBackend, EventKind, Identity, LeaseBackend, Looking, Lookout,
    MaintenanceBackend, Member, MemberInfo, Membered, OverviewBackend, ProposeError, ReadError, Report,
    ReportedEvent, Sighting, Status, TimeLeft, WatchBackend,
};
pub use caller::CertificateName;
pub use coalesce::Coalesced;
pub use compactor::AutoCompaction;
pub use config::Config;
pub use connection::Activity;
pub use error::Fault;
pub use faults::{CutOff, FaultSwitch};
pub use limits::Limits;
pub use metrics::{IntoNumber, Labels, Sheet, Source, Sources};
pub use origin::{Origin, Originated};
pub use serve::serve;
pub use served::Served;
pub use service::Edge;
