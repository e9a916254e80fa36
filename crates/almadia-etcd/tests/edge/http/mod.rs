//! HTTP beside gRPC as a client meets it: the real server on a loopback socket over an in-memory store. Names begin with the
//! row of the surface they guard.

mod beside;
mod client;
mod console;
mod endpoints;
mod gateway;
mod history;
mod hostile;
mod identity;
mod streams;
