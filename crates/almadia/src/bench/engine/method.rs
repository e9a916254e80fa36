//! How a method is called, and the streams that stay open.
//!
//! Plain values; never touches a socket.

/// A method and how it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// What its streams look like.
    pub style: Style,
}

/// What the streams of a method look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One message, one answer, and the stream is over.
    Unary,
    /// All calls of a client share a stream that stays open; each message has one answer.
    Exchange,
    /// A client's stream stays open, and messages come whenever the server has something to tell.
    Subscription,
}

impl Method {
    /// A method with a stream for each call.
    pub const fn unary(path: &'static str) -> Self {
        Self {
            path,
            style: Style::Unary,
        }
    }

    /// A method whose stream carries one call after the other.
    pub const fn exchange(path: &'static str) -> Self {
        Self {
            path,
            style: Style::Exchange,
        }
    }

    /// A method whose stream carries what the server has to tell.
    pub const fn subscription(path: &'static str) -> Self {
        Self {
            path,
            style: Style::Subscription,
        }
    }
}

/// A stream that stays open.
#[derive(Clone, Debug)]
pub struct OpenStream {
    /// The stream's number.
    pub number: u32,
    /// What it looks like; never `Unary`.
    pub style: Style,
    /// Bytes that the server still takes.
    pub send_window: i64,
    /// Bytes received since our window was last opened.
    pub received_since_refill: u32,
    /// Somebody waits for a message and has not been told of one.
    pub is_awaited: bool,
}

impl OpenStream {
    /// A fresh one, with the window that streams begin with.
    pub fn new(number: u32, style: Style, send_window: i64) -> Self {
        Self {
            number,
            style,
            send_window,
            received_since_refill: 0,
            is_awaited: false,
        }
    }

    /// Takes bytes off the window; `false` when it is too small.
    pub fn take_window(&mut self, bytes: usize) -> bool {
        let has_room = self.send_window >= bytes as i64;
        if has_room {
            self.send_window -= bytes as i64;
        }
        has_room
    }
}

/// The first message in `bytes` without its gRPC frame, and what follows it; `None` while it is incomplete.
pub fn split_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (front, rest) = bytes.split_first_chunk::<5>()?;
    let len = u32::from_be_bytes([front[1], front[2], front[3], front[4]]);
    rest.split_at_checked(len as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_split_when_they_are_complete() {
        let bytes = [0, 0, 0, 0, 2, b'a', b'b', 0, 0];
        assert_eq!(split_message(&bytes), Some((&b"ab"[..], &[0, 0][..])));
        assert_eq!(split_message(&bytes[..6]), None);
        assert_eq!(split_message(&bytes[7..]), None);
        assert_eq!(split_message(&[0; 5]), Some((&[][..], &[][..])));
    }
}
