//! The names under which choices (`oneof`) and their members have been written: as in the protocol file (`request_put`),
//! in camel case (`requestPut`), and as Go calls them (`RequestPut`).

/// Whether two spellings mean the same name.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    letters(one).eq(letters(other))
}

fn letters(name: &str) -> impl Iterator<Item = u8> {
    name.bytes()
        .filter(|byte| *byte != b'_')
        .map(|byte| byte.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for other in ["request_put", "requestPut", "RequestPut", "REQUEST_PUT"] {
            assert!(same_name("request_put", other), "{other}");
        }
        for other in ["", "request", "request_puts", "request-put"] {
            assert!(!same_name("request_put", other), "{other}");
        }
    }
}
