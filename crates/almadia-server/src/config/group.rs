//! The group id: which deployment a member is of, before any cluster exists.
//!
//! It is a fixed function of the flags: all members of a deployment come to the same id without talking.

use almadia_command::GroupId;

/// Not a UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--group {text}: expected a UUID, 32 hexadecimal digits")]
pub struct GroupError {
    text: String,
}

/// Reads a UUID, with or without its dashes.
///
/// # Errors
/// [`GroupError`].
pub fn parse_group(text: &str) -> Result<GroupId, GroupError> {
    let error = || GroupError {
        text: text.to_owned(),
    };
    let digits: String = text.chars().filter(|character| *character != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(error());
    }
    let number = u128::from_str_radix(&digits, 16).map_err(|_| error())?;
    Ok(GroupId(number.to_be_bytes()))
}

/// The group of an `--initial-cluster-token`: FNV-1a with 128 bits (draft-eastlake-fnv), which keeps different tokens
/// apart; it guards against mixed-up configurations, not against attackers.
pub fn group_from_token(token: &str) -> GroupId {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = token.bytes().fold(OFFSET_BASIS, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    });
    GroupId(hash.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of the draft: a group never changes between releases.
    #[test]
    fn a_token_gives_a_fixed_group() {
        assert_eq!(
            group_from_token("").to_string(),
            "6c62272e-07bb-0142-62b8-21756295c58d"
        );
        assert_eq!(
            group_from_token("a").to_string(),
            "d228cb69-6f1a-8caf-7891-2b704e4a8964"
        );
        assert_ne!(
            group_from_token("etcd-cluster"),
            group_from_token("etcd-cluster-1")
        );
    }

    #[test]
    fn a_uuid_is_read_as_it_is_printed() {
        let text = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert_eq!(parse_group(text).unwrap().to_string(), text);
        assert_eq!(
            parse_group(&text.replace('-', "").to_uppercase())
                .unwrap()
                .to_string(),
            text
        );
        for wrong in [
            "",
            "0f8fad5b",
            "0f8fad5b-d9cb-469f-a165-70867728950x",
            "+f8fad5bd9cb469fa16570867728950e",
        ] {
            assert!(parse_group(wrong).is_err(), "{wrong}");
        }
    }
}
