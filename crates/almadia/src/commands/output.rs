//! What a command prints: bytes for people, JSON for programs.
//!
//! Renders only; printing happens in one place. Never fails on strange keys: text is escaped, JSON falls back to
//! base64.

use std::io::Write;

use serde_json::{Map, Value};

use almadia_etcd::proto::mvccpb::KeyValue;

use super::error::{CommandError, EXIT_OK};
use super::global::Output;

/// The outcome of a command that came to its end.
#[derive(Debug, PartialEq)]
pub struct Report {
    /// For people.
    pub text: Vec<u8>,
    /// For programs.
    pub json: Value,
    /// Exit code.
    pub exit_code: u8,
}

impl Report {
    /// A success.
    pub fn new(text: impl Into<Vec<u8>>, json: Value) -> Self {
        Self {
            text: text.into(),
            json,
            exit_code: EXIT_OK,
        }
    }

    /// The end of a command that has printed all it had to say.
    pub fn printed() -> Self {
        Self::new("", Value::Null)
    }

    /// Prints it. A reader that has gone away (`| head`) is no error.
    pub fn print(&self, output: Output) -> Result<(), CommandError> {
        match output {
            Output::Text => print(&self.text),
            Output::Json if self.json.is_null() => Ok(()),
            Output::Json => print(format!("{}\n", self.json).as_bytes()),
        }
    }
}

/// Whether somebody still reads what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// As far as one can know.
    There,
    /// No (`| head`): there is no use in going on.
    Gone,
}

/// Writes to standard output. A reader that has gone away is no error.
pub fn print(bytes: &[u8]) -> Result<(), CommandError> {
    print_now(bytes).map(|_| ())
}

/// Writes one message of many, at once: a text for people, or an object on a line of its own.
pub fn print_on(output: Output, text: &str, json: &Value) -> Result<Reader, CommandError> {
    match output {
        Output::Text => print_now(text.as_bytes()),
        Output::Json => print_now(format!("{json}\n").as_bytes()),
    }
}

fn print_now(bytes: &[u8]) -> Result<Reader, CommandError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(CommandError::failed(format!("cannot write the output: {error}"))),
    }
}

/// Bytes as one line of text: what is not printable UTF-8, tabs, line ends and backslashes are escaped.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                c if c.is_control() => text.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Adds `name` with the bytes as text, or `name_base64` when they are not UTF-8.
pub fn insert_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => object.insert(format!("{name}_base64"), base64(bytes).into()),
    };
}

/// A key and its value, for programs.
pub fn pair_json(pair: &KeyValue, with_value: bool) -> Value {
    let mut object = Map::new();
    insert_bytes(&mut object, "key", &pair.key);
    if with_value {
        insert_bytes(&mut object, "value", &pair.value);
    }
    object.insert("create_revision".into(), pair.create_revision.into());
    object.insert("mod_revision".into(), pair.mod_revision.into());
    object.insert("version".into(), pair.version.into());
    if pair.lease != 0 {
        object.insert("lease".into(), format!("{:x}", pair.lease).into());
    }
    Value::Object(object)
}

/// A key and its value, for people: one line.
pub fn pair_line(pair: &KeyValue, with_value: bool) -> String {
    if with_value {
        format!("{}\t{}\n", escaped(&pair.key), escaped(&pair.value))
    } else {
        format!("{}\n", escaped(&pair.key))
    }
}

/// Columns, padded to the widest cell; no blanks at line ends.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        assert_eq!(row.len(), header.len(), "a row has a cell for each column");
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[&str]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}", width = *width))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(header);
    for row in rows {
        text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    text
}

/// A size for people.
pub fn size(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// RFC 4648, section 4, with padding.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = [
            chunk[0],
            chunk.get(1).copied().unwrap_or(0),
            chunk.get(2).copied().unwrap_or(0),
        ];
        let number = usize::from(group[0]) << 16 | usize::from(group[1]) << 8 | usize::from(group[2]);
        for place in 0..4 {
            let is_padding = place > chunk.len();
            let sixth = number >> (18 - 6 * place) & 63;
            text.push(if is_padding {
                '='
            } else {
                char::from(ALPHABET[sixth])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn base64_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn every_pair_is_one_line() {
        let pair = KeyValue {
            key: "a\tb".into(),
            value: b"1\n\\\xff\x01\xc3\xa9"[..].into(),
            ..KeyValue::default()
        };
        assert_eq!(pair_line(&pair, true), "a\\tb\t1\\n\\\\\\xff\\u{1}é\n");
        assert_eq!(pair_line(&pair, false), "a\\tb\n");
    }

    #[test]
    fn strange_bytes_are_base64_in_json() {
        let pair = KeyValue {
            key: "k".into(),
            value: b"\xff"[..].into(),
            lease: 0x5b,
            ..KeyValue::default()
        };
        let json = pair_json(&pair, true).to_string();
        assert!(
            json.contains(r#""key":"k""#) && json.contains(r#""value_base64":"/w==""#),
            "{json}"
        );
        assert!(json.contains(r#""lease":"5b""#), "{json}");
    }

    #[test]
    fn tables_and_sizes() {
        let rows = [
            vec!["almadia-0".to_owned(), "1".to_owned()],
            vec!["b".to_owned(), String::new()],
        ];
        assert_eq!(table(&["NAME", "ID"], &rows), "NAME       ID\nalmadia-0  1\nb\n");
        assert_eq!(
            (size(20), size(24_576), size(3 << 30)),
            ("20 B".into(), "24.0 KiB".into(), "3.0 GiB".into())
        );
    }
}
