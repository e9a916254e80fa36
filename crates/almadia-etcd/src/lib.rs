//! The etcd v3 edge: translates etcd's gRPC services into commands and reads of one member.
//!
//! This is the only crate that knows etcd's services, codes and texts. It keeps no state beyond a request or a
//! stream and decides nothing about the data: form is checked here, content where the command is applied.

pub mod proto;
