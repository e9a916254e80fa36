//! What a connection between members, or with a client, is set to.

use rustix::net::sockopt;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;

/// An idle connection is probed after this time, and then as often.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// Probes without an answer after which a connection is dead.
const KEEPALIVE_PROBES: u32 = 3;

/// Sent bytes that nobody confirms for this long end the connection (`TCP_USER_TIMEOUT`): a machine that lost its
/// power says nothing, and the kernel alone would try for a quarter of an hour.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(10);

/// Small frames go out at once, and a dead other side is noticed.
pub(crate) fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    let unconfirmed_ms = u32::try_from(UNCONFIRMED_MAX.as_millis()).expect("a few seconds");
    sockopt::set_tcp_user_timeout(stream, unconfirmed_ms)?;
    Ok(())
}
