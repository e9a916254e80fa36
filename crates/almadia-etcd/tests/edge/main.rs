//! The edge over a store without a cluster: every service on real loopback sockets, row by row, and beside a real etcd where
//! there is one. One test program, since each of them would link the edge again; `fuzz` has its own, since it runs long.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auth;
mod beside;
mod beside_etcd;
mod double;
mod http;
mod kube;
mod lease;
mod maintenance;
mod random;
mod raw;
mod services;
mod watch;
mod wire;
