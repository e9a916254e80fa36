//! Keys and values: any bytes, readable where they are text. It knows nothing of what they mean.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Bytes of a key or a value. Cheap to clone. Shown and stored as ASCII, where every other byte and `%` is written
/// as `%` and two hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Arc<[u8]>);

impl Text {
    /// The bytes themselves.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes that a shown form stands for; `None` if it is not one.
    pub fn of_shown(shown: &str) -> Option<Text> {
        let mut bytes = Vec::with_capacity(shown.len());
        let mut rest = shown.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            if *first != b'%' {
                bytes.push(*first);
                continue;
            }
            let digits = rest.get(..2)?;
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        }
        Some(bytes.into())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Text {
        Text(bytes.into())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Text {
        Text(bytes.into())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(text.as_bytes().into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text(text.into_bytes().into())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter() {
            match byte {
                b'%' | 0..=0x1f | 0x7f.. => write!(formatter, "%{byte:02x}")?,
                _ => write!(formatter, "{}", char::from(*byte))?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{self}\"")
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        let shown = Cow::<'de, str>::deserialize(deserializer)?;
        Text::of_shown(&shown).ok_or_else(|| D::Error::custom(format!("{shown:?} has a broken %-sequence")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive_being_shown() {
        let all: Vec<u8> = (0..=255).collect();
        let text = Text::from(all);
        assert_eq!(Text::of_shown(&text.to_string()), Some(text));
        assert_eq!(Text::from("a/b c").to_string(), "a/b c");
        assert_eq!(Text::from("50%\0").to_string(), "50%25%00");
    }

    #[test]
    fn broken_sequences_are_refused() {
        for shown in ["%", "a%1", "%+1", "%zz"] {
            assert_eq!(Text::of_shown(shown), None, "{shown}");
        }
    }
}
