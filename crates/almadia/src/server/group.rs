//! The deployment a member belongs to, as 16 bytes that are the same on every member. Members of another group are
//! refused at the handshake; it is kept on disk, so what is derived here never changes.

use almadia_command::GroupId;

/// FNV-1a's parameters for 128 bits (draft-eastlake-fnv).
const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// The group that `--initial-cluster-token` means. It keeps deployments apart that should not meet; it is no secret.
pub fn from_token(token: &str) -> GroupId {
    let hash = token.bytes().fold(FNV_OFFSET, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(FNV_PRIME)
    });
    let mut bytes = hash.to_be_bytes();
    // A UUID of version 8 (RFC 9562: custom) and the usual variant, so that it can be given to --group again.
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    GroupId(bytes)
}

/// The group a UUID names; none when the text is no UUID.
pub fn from_uuid(text: &str) -> Option<GroupId> {
    let parts: Vec<&str> = text.split('-').collect();
    if parts.iter().map(|part| part.len()).ne([8, 4, 4, 4, 12]) {
        return None;
    }
    let digits = parts.concat();
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (number != 0).then(|| GroupId(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden: on disk since the first release.
    #[test]
    fn a_token_means_the_same_group_for_ever() {
        assert_eq!(
            from_token("etcd-cluster").to_string(),
            "19fb5d8d-9d8a-8153-8e65-30c848de1a9c"
        );
        assert_ne!(from_token("a"), from_token("b"));
    }

    #[test]
    fn uuids_are_read_as_they_are_written() {
        let text = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert_eq!(
            from_uuid(text).map(|group| group.to_string()).as_deref(),
            Some(text)
        );
        assert_eq!(from_uuid(&text.to_uppercase()), from_uuid(text));
        assert_eq!(from_uuid(&from_token("x").to_string()), Some(from_token("x")));
        for bad in [
            "",
            "x",
            "0f8fad5bd9cb469fa16570867728950e",
            "0f8fad5b-d9cb-469f-a165-70867728950g",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert_eq!(from_uuid(bad), None, "{bad}");
        }
    }
}
