//! The load generator: HTTP/2 by hand, so that the generator takes little of the processor that the servers need.
//!
//! A gRPC library costs ten microseconds and more per call, which on a small machine would be measured instead of the
//! server. From the outside in: `load` runs a plan on threads and `subscription` listens on streams that stay open;
//! `socket` drives one `connection`, which speaks in `frame`s and `hpack` header blocks. Never used outside the benchmark,
//! never speaks TLS.

pub mod connection;
pub mod frame;
pub mod hpack;
pub mod huffman;
pub mod load;
pub mod method;
pub mod socket;
pub mod subscription;
