//! How the members of a set are called and reached: by an ordinal in the name, and one pattern of addresses for all.
//!
//! Pure. An ordinal says where a member is found and in which order members come and go; it is never an id: two data
//! directories that carry the same name are two members. No name is resolved here.

use crate::founding::InitialPeer;

/// Members of a set at most: every one more makes writes slower and none safer.
pub const MEMBERS_MAX: u32 = 9;

/// Stands for the ordinal in a pattern.
const PLACE: &str = "%d";

/// A family of names and addresses. Equal for all members of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// What stands before the ordinal in a name, and what stands after it.
    name: (String, String),
    /// The peer URL, with the ordinal's place in it.
    url: (String, String),
}

/// A pattern or a name that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamingError {
    /// The pattern cannot tell members apart, or would have to be told more than the ordinal.
    #[error(
        "{pattern}: {PLACE} must stand in it once, for the ordinal, as in http://almadia-{PLACE}.almadia:2380"
    )]
    Pattern {
        /// The pattern.
        pattern: String,
    },
    /// The name has no ordinal, or not where it should be.
    #[error(
        "{name} is no name of this set: expected {expected}, with the ordinal at its end as a StatefulSet's pods have it"
    )]
    Name {
        /// The name.
        name: String,
        /// What names look like.
        expected: String,
    },
    /// A cluster has no such member.
    #[error("{name}: ordinal {ordinal} is too high, a cluster has at most {MEMBERS_MAX} members")]
    TooHigh {
        /// The name.
        name: String,
        /// Its ordinal.
        ordinal: u64,
    },
}

impl Naming {
    /// The family that `own_name` belongs to, with its addresses by `pattern`. Where the first label of the pattern's host
    /// has the ordinal in it, names are like that label; else they are like `own_name`.
    ///
    /// # Errors
    /// [`NamingError`].
    pub fn new(own_name: &str, pattern: &str) -> Result<Self, NamingError> {
        let broken = || NamingError::Pattern {
            pattern: pattern.to_owned(),
        };
        let url = split(pattern).ok_or_else(broken)?;
        let name = match split(first_label(pattern)) {
            Some(name) => name,
            None => (before_ordinal(own_name)?, String::new()),
        };
        let naming = Self { name, url };
        naming.own(own_name)?;
        Ok(naming)
    }

    /// The ordinal in a name of this family.
    ///
    /// # Errors
    /// [`NamingError::Name`] or [`NamingError::TooHigh`].
    pub fn own(&self, name: &str) -> Result<u32, NamingError> {
        let wrong = || NamingError::Name {
            name: name.to_owned(),
            expected: format!("{}{PLACE}{}", self.name.0, self.name.1),
        };
        let (before, after) = &self.name;
        let digits = name.strip_prefix(before.as_str());
        let digits = digits.and_then(|rest| rest.strip_suffix(after.as_str()));
        let ordinal = digits.and_then(number).ok_or_else(wrong)?;
        let low = u32::try_from(ordinal).ok().filter(|low| *low < MEMBERS_MAX);
        low.ok_or_else(|| NamingError::TooHigh {
            name: name.to_owned(),
            ordinal,
        })
    }

    /// The ordinal in a name, if it is one of this family.
    pub fn ordinal(&self, name: &str) -> Option<u32> {
        self.own(name).ok()
    }

    /// The member of an ordinal.
    pub fn peer(&self, ordinal: u32) -> InitialPeer {
        InitialPeer {
            name: format!("{}{ordinal}{}", self.name.0, self.name.1),
            peer_urls: vec![format!("{}{ordinal}{}", self.url.0, self.url.1)],
        }
    }

    /// The first members, in order.
    pub fn first(&self, count: u32) -> Vec<InitialPeer> {
        (0..count.min(MEMBERS_MAX))
            .map(|ordinal| self.peer(ordinal))
            .collect()
    }

    /// What is the same in all names, without the dash before the ordinal: the StatefulSet's name.
    pub fn set_name(&self) -> &str {
        self.name.0.trim_end_matches('-')
    }
}

/// The name of the set a pod belongs to, by the pod's name.
///
/// # Errors
/// [`NamingError::Name`].
pub fn before_ordinal(name: &str) -> Result<String, NamingError> {
    let wrong = || NamingError::Name {
        name: name.to_owned(),
        expected: format!("NAME-{PLACE}"),
    };
    let (before, digits) = name.rsplit_once('-').ok_or_else(wrong)?;
    number(digits).filter(|_| !before.is_empty()).ok_or_else(wrong)?;
    Ok(format!("{before}-"))
}

/// What stands before and after the ordinal's place; `None` unless there is one place and no other percent sign.
fn split(pattern: &str) -> Option<(String, String)> {
    let (before, after) = pattern.split_once(PLACE)?;
    let is_whole = !before.contains('%') && !after.contains('%');
    is_whole.then(|| (before.to_owned(), after.to_owned()))
}

fn first_label(url: &str) -> &str {
    let host = url.split_once("://").map_or(url, |(_, host)| host);
    host.split(['.', ':', '/']).next().unwrap_or(host)
}

/// A number as Kubernetes writes it: digits, no zero in front.
fn number(digits: &str) -> Option<u64> {
    let is_plain = !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATTERN: &str = "http://almadia-%d.almadia-peers:2380";

    #[track_caller]
    fn check(name: &str, pattern: &str, expected: Result<u32, &str>) {
        let found = Naming::new(name, pattern).and_then(|naming| naming.own(name));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{name} {pattern}"),
            (Err(error), Err(words)) => {
                let error = error.to_string();
                assert!(
                    error.contains(words) && !error.contains('\n'),
                    "{error} should contain {words}"
                );
            }
            (found, expected) => panic!("{name} {pattern}: {found:?} instead of {expected:?}"),
        }
    }

    /// M1.11: the ordinal comes from the name; what does not fit is refused in one line.
    #[test]
    fn names_and_ordinals() {
        check("almadia-0", PATTERN, Ok(0));
        check("almadia-8", PATTERN, Ok(8));
        check("almadia-9", PATTERN, Err("ordinal 9 is too high"));
        check("almadia-99999999999", PATTERN, Err("is too high"));
        check(
            "almadia-99999999999999999999999",
            PATTERN,
            Err("expected almadia-%d"),
        );
        for wrong in [
            "almadia",
            "almadia-",
            "almadia-x",
            "almadia-01",
            "almadia-+1",
            "other-1",
            "1",
            "",
            "almadia-1-a",
        ] {
            check(wrong, PATTERN, Err("is no name of this set"));
        }
        check("etcd-2", "http://10.0.0.%d:2380", Ok(2));
        check("a-b-3", "https://[fd00::%d]:2380", Ok(3));
        check("-3", "http://10.0.0.%d:2380", Err("expected NAME-%d"));
        check("node3", "http://node%d.peers:2380", Ok(3));
        check("x-2-y", "http://x-%d-y.peers:2380", Ok(2));
        for pattern in [
            "http://almadia-0.a:2380",
            "http://%d.%d:1",
            "http://a-%d.b%20:1",
            "",
            "http://a-%s:1",
        ] {
            check("a-0", pattern, Err("must stand in it once"));
        }
    }

    #[test]
    fn a_member_is_called_and_reached_by_its_ordinal() {
        let naming = Naming::new("almadia-1", PATTERN).unwrap();
        let peer = naming.peer(2);
        assert_eq!(peer.name, "almadia-2");
        assert_eq!(peer.peer_urls, ["http://almadia-2.almadia-peers:2380"]);
        assert_eq!(naming.first(3).len(), 3);
        assert_eq!(naming.set_name(), "almadia");
        assert_eq!(
            naming,
            Naming::new("almadia-0", PATTERN).unwrap(),
            "all of a set agree"
        );
        let plain = Naming::new("etcd-2", "http://10.0.0.%d:2380").unwrap();
        assert_eq!(plain.peer(1).name, "etcd-1");
        assert_eq!(plain.ordinal("almadia-1"), None);
    }

    proptest! {
        /// Each ordinal has one name, and that name has this ordinal; no text makes the reader panic.
        #[test]
        fn names_and_ordinals_belong_together(prefix in "[a-z]([a-z0-9-]{0,10}[a-z0-9])?", ordinal in 0..MEMBERS_MAX, text in ".{0,20}") {
            let own = format!("{prefix}-{ordinal}");
            let naming = Naming::new(&own, "http://10.1.2.%d:2380").unwrap();
            for each in 0..MEMBERS_MAX {
                prop_assert_eq!(naming.own(&naming.peer(each).name), Ok(each));
            }
            let _ = Naming::new(&text, &text);
            if let Ok(found) = naming.own(&text) {
                prop_assert_eq!(&naming.peer(found).name, &text);
            }
        }
    }
}
