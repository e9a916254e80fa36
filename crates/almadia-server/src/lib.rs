//! The body of a member: real sockets, real disks, real clocks, real chance.
//!
//! It carries `almadia-member` and decides nothing itself; it knows no client protocol either: the program puts the
//! edge on top. Reading order: `config` (what a server is told), `peers` (the transport between members), `clients`.

pub mod chance;
pub mod clients;
pub mod config;
mod listen;
pub mod peers;
pub mod url;

pub use listen::ListenError;
