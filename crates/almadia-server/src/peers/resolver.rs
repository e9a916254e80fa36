//! Names to addresses, anew at each connection: a pod that comes back has another address behind the same name. Nothing is
//! remembered here.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use tokio::net::lookup_host;

/// A resolution in the making.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Tells the addresses of a host.
pub trait Resolve: Debug + Send + Sync {
    /// All of them, of IPv4 and IPv6, in the order in which they are to be tried.
    fn resolve(&self, host: &str, port: u16) -> Resolving;
}

/// The system's resolver.
#[derive(Debug)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> Resolving {
        let host = host.to_owned();
        Box::pin(async move { Ok(lookup_host((host.as_str(), port)).await?.collect()) })
    }
}
