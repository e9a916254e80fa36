//! Which keys a command means: one key, a range, a prefix, or all from a key on.
//!
//! Never sends anything.

use bytes::Bytes;

use super::error::CommandError;

/// The end of a range that has no end.
const NO_END: &[u8] = b"\0";

/// Keys on a command line.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct KeyArguments {
    /// The key, or the first key of the range.
    pub key: Option<String>,
    /// End of the range: the first key that is not in it any more.
    #[arg(conflicts_with_all = ["prefix", "from_key"])]
    pub end: Option<String>,
    /// All keys that begin with KEY.
    #[arg(long, conflicts_with = "from_key")]
    pub prefix: bool,
    /// All keys from KEY on.
    #[arg(long)]
    pub from_key: bool,
}

/// Keys as the protocol has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key.
    pub key: Bytes,
    /// Empty: only that key. `\0`: no end. Otherwise the first key not in the range.
    pub end: Bytes,
}

impl KeyRange {
    /// Whether it means every key there is.
    pub fn is_everything(&self) -> bool {
        self.end == NO_END && self.key == NO_END
    }
}

impl KeyArguments {
    /// What the arguments mean.
    pub fn range(&self) -> Result<KeyRange, CommandError> {
        let key = self.key.clone().unwrap_or_default();
        if self.prefix || self.from_key {
            if key.is_empty() {
                return Ok(KeyRange {
                    key: Bytes::from_static(NO_END),
                    end: Bytes::from_static(NO_END),
                });
            }
            let end = if self.prefix {
                prefix_end(key.as_bytes())
            } else {
                Bytes::from_static(NO_END)
            };
            return Ok(KeyRange { key: key.into(), end });
        }
        if key.is_empty() {
            return Err(CommandError::usage(
                "the key is missing: name a key, or use --prefix \"\" for all keys",
            ));
        }
        let end = self.end.clone().unwrap_or_default();
        if self.end.is_some() && end.as_bytes() <= key.as_bytes() {
            return Err(CommandError::usage(format!(
                "bad key range: the end '{end}' does not come after '{key}'; the end is the first key that is not in the \
                 range"
            )));
        }
        Ok(KeyRange {
            key: key.into(),
            end: end.into(),
        })
    }
}

/// The first key after all keys with this prefix.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(NO_END)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(key: &str, end: Option<&str>, prefix: bool, from_key: bool) -> Result<KeyRange, CommandError> {
        let key = (key != "-").then(|| key.to_owned());
        KeyArguments {
            key,
            end: end.map(str::to_owned),
            prefix,
            from_key,
        }
        .range()
    }

    #[test]
    fn what_arguments_mean() {
        let pair = |range: Result<KeyRange, CommandError>| {
            let range = range.expect("valid");
            (range.key.to_vec(), range.end.to_vec())
        };
        assert_eq!(pair(range("a", None, false, false)), (b"a".to_vec(), vec![]));
        assert_eq!(
            pair(range("a", Some("c"), false, false)),
            (b"a".to_vec(), b"c".to_vec())
        );
        assert_eq!(
            pair(range("ab", None, true, false)),
            (b"ab".to_vec(), b"ac".to_vec())
        );
        assert_eq!(pair(range("a", None, false, true)), (b"a".to_vec(), vec![0]));
        assert_eq!(pair(range("", None, true, false)), (vec![0], vec![0]));
        assert_eq!(pair(range("-", None, true, false)), (vec![0], vec![0]));
        assert!(range("", None, false, true).expect("valid").is_everything());
    }

    #[test]
    fn bad_ranges_are_refused() {
        for bad in [
            range("", None, false, false),
            range("-", None, false, false),
            range("b", Some("a"), false, false),
        ] {
            assert!(matches!(bad, Err(CommandError::Usage(_))));
        }
        let message = range("b", Some("b"), false, false)
            .expect_err("empty")
            .to_string();
        assert!(message.contains("does not come after"), "{message}");
    }

    proptest! {
        /// Promise: a key is between a prefix and its end exactly when it has the prefix.
        #[test]
        fn prefix_end_is_right(prefix in proptest::collection::vec(any::<u8>(), 1..4), key in proptest::collection::vec(any::<u8>(), 0..5)) {
            let end = prefix_end(&prefix);
            let is_inside = key >= prefix && (end == NO_END || key[..] < end[..]);
            prop_assert_eq!(is_inside, key.starts_with(&prefix));
        }
    }
}
