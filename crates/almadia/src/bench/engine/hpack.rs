//! Header compression (RFC 7541), as much of it as a gRPC load generator needs.
//!
//! The encoder uses the dynamic table, as real clients do, so that the server's work is the usual one. The decoder has
//! no dynamic table: we ask the server for a table of size 0, so each block stands for itself and equal bytes mean
//! equal headers. Never sees a socket.

use super::huffman;

/// Names (and values) of the static table that a request uses.
const STATIC: &[(usize, &str, &str)] = &[
    (1, ":authority", ""),
    (3, ":method", "POST"),
    (4, ":path", "/"),
    (6, ":scheme", "http"),
    (31, "content-type", ""),
    (58, "user-agent", ""),
];
/// Entries in the static table; the dynamic table follows.
const STATIC_ENTRIES: usize = 61;
/// The values that `:status` has at index 8 and up in the static table.
const STATIC_STATUS: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];

/// Encodes requests; belongs to one connection.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Entries of the dynamic table, oldest first. All of a client's headers fit, so nothing is ever evicted.
    inserted: Vec<(String, String)>,
}

impl Encoder {
    /// Appends one header block.
    pub fn encode(&mut self, headers: &[(&str, &str)], out: &mut Vec<u8>) {
        for (name, value) in headers {
            self.encode_one(name, value, out);
        }
    }

    /// How many entries the dynamic table has: a block encoded at the same count has the same bytes.
    pub fn entries(&self) -> usize {
        self.inserted.len()
    }

    fn encode_one(&mut self, name: &str, value: &str, out: &mut Vec<u8>) {
        if let Some((index, ..)) = STATIC.iter().find(|entry| entry.1 == name && entry.2 == value) {
            return write_integer(out, 0x80, 7, *index);
        }
        if let Some(at) = self
            .inserted
            .iter()
            .position(|entry| entry.0 == name && entry.1 == value)
        {
            return write_integer(out, 0x80, 7, STATIC_ENTRIES + self.inserted.len() - at);
        }
        match STATIC.iter().find(|entry| entry.1 == name) {
            Some((index, ..)) => write_integer(out, 0x40, 6, *index),
            None => {
                out.push(0x40);
                write_text(out, name);
            }
        }
        write_text(out, value);
        self.inserted.push((name.to_owned(), value.to_owned()));
    }
}

/// What the end of a call, or its beginning, says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trailers {
    /// HTTP status, if it stands in the block.
    pub http_status: Option<u16>,
    /// gRPC status code.
    pub grpc_status: Option<u32>,
    /// gRPC status message.
    pub grpc_message: Option<String>,
}

/// Decodes a header block that uses no dynamic table; `None` when it does, or is malformed.
pub fn decode(mut block: &[u8]) -> Option<Trailers> {
    let mut trailers = Trailers::default();
    while let Some(first) = block.first().copied() {
        if first & 0x80 != 0 {
            let index = read_integer(&mut block, 7)?;
            if index == 0 || index > STATIC_ENTRIES {
                return None;
            }
            if let Some(status) = index.checked_sub(8).and_then(|at| STATIC_STATUS.get(at)) {
                trailers.http_status = Some(*status);
            }
            continue;
        }
        if first & 0xe0 == 0x20 {
            read_integer(&mut block, 5)?;
            continue;
        }
        let name_index = read_integer(&mut block, if first & 0xc0 == 0x40 { 6 } else { 4 })?;
        let name = match name_index {
            0 => read_text(&mut block)?,
            8..=14 => b":status".to_vec(),
            1..=STATIC_ENTRIES => Vec::new(),
            _ => return None,
        };
        let value = read_text(&mut block)?;
        note(&mut trailers, &name, &value);
    }
    Some(trailers)
}

fn note(trailers: &mut Trailers, name: &[u8], value: &[u8]) {
    let text = String::from_utf8_lossy(value);
    match name {
        b":status" => trailers.http_status = text.parse().ok(),
        b"grpc-status" => trailers.grpc_status = text.parse().ok(),
        b"grpc-message" => trailers.grpc_message = Some(without_percents(value)),
        _ => {}
    }
}

/// Undoes the percent-encoding of status messages (gRPC over HTTP/2, "Status-Message").
fn without_percents(value: &[u8]) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = &after[2..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An integer with a prefix of `bits` bits (section 5.1).
fn write_integer(out: &mut Vec<u8>, flags: u8, bits: u32, value: usize) {
    let prefix_max = (1_usize << bits) - 1;
    if value < prefix_max {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | prefix_max as u8);
    let mut rest = value - prefix_max;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    out.push(rest as u8);
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    write_integer(out, 0, 7, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn read_integer(block: &mut &[u8], bits: u32) -> Option<usize> {
    let (first, rest) = block.split_first()?;
    *block = rest;
    let prefix_max = (1_usize << bits) - 1;
    let mut value = usize::from(*first) & prefix_max;
    if value < prefix_max {
        return Some(value);
    }
    // Four continuation bytes are far more than any header needs.
    for shift in [0, 7, 14, 21] {
        let (byte, rest) = block.split_first()?;
        *block = rest;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn read_text(block: &mut &[u8]) -> Option<Vec<u8>> {
    let is_huffman = block.first()? & 0x80 != 0;
    let len = read_integer(block, 7)?;
    let text = block.get(..len)?;
    *block = &block[len..];
    if is_huffman {
        huffman::decode(text)
    } else {
        Some(text.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_second_block_is_indices_only() {
        let mut encoder = Encoder::default();
        let headers = [(":method", "POST"), (":path", "/a/b"), ("te", "trailers")];
        let mut first = Vec::new();
        encoder.encode(&headers, &mut first);
        assert_eq!(first[0], 0x83);
        assert_eq!(&first[1..7], b"\x44\x04/a/b");
        let mut second = Vec::new();
        encoder.encode(&headers, &mut second);
        // The newest entry (te) is 62, the one before it 63.
        assert_eq!(second, [0x83, 0x80 | 63, 0x80 | 62]);
        assert_eq!(encoder.entries(), 2);
    }

    #[test]
    fn plain_and_huffman_trailers_are_read() {
        let mut plain = vec![0x20, 0x88];
        plain.push(0x00);
        write_text(&mut plain, "grpc-status");
        write_text(&mut plain, "14");
        plain.push(0x40);
        write_text(&mut plain, "grpc-message");
        write_text(&mut plain, "no%20leader 5%");
        let read = decode(&plain).expect("well formed");
        assert_eq!(read.http_status, Some(200));
        assert_eq!(read.grpc_status, Some(14));
        assert_eq!(read.grpc_message.as_deref(), Some("no leader 5%"));
        // ":status" by name index with the huffman value "302".
        assert_eq!(
            decode(&[0x48, 0x82, 0x64, 0x02])
                .expect("well formed")
                .http_status,
            Some(302)
        );
    }

    #[test]
    fn the_dynamic_table_is_refused() {
        assert_eq!(decode(&[0x80 | 62]), None);
        assert_eq!(decode(&[0x80]), None);
        assert_eq!(decode(&[0x00, 0x05, b'a']), None);
    }

    #[test]
    fn integers_survive_the_round_trip() {
        for value in [0, 1, 30, 31, 126, 127, 128, 254, 255, 1337, 100_000] {
            for bits in [4, 5, 6, 7] {
                let mut bytes = Vec::new();
                write_integer(&mut bytes, 0, bits, value);
                let mut rest = &bytes[..];
                assert_eq!(read_integer(&mut rest, bits), Some(value));
                assert!(rest.is_empty());
            }
        }
    }

    proptest! {
        /// Promise: no bytes from a server make the decoder panic.
        #[test]
        fn garbage_is_survived(block in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&block);
        }
    }
}
