//! The body of a member: real sockets, real disks, real clocks, real chance.
//!
//! It carries `almadia-member` and decides nothing itself; it knows no client protocol either: the program puts the
//! edge on top of what [`run`] gives it. Reading order: `config` (what a server is told), `assemble` (the order of a
//! start and a stop), `peers` (the transport between members), `clients`, `tls` (whose certificates are shown and believed).

mod assemble;
mod carrier;
pub mod chance;
pub mod clients;
mod complaints;
pub mod config;
mod listen;
mod memory;
pub mod peers;
pub mod signals;
pub mod tls;
pub mod url;
mod vitals;
mod waiting;
pub mod wished;

pub use assemble::{Server, ServerError, Serving, run};
pub use listen::ListenError;
pub use vitals::{BodyVitals, PeerTraffic, Traffic};
