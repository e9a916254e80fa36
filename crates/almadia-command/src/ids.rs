//! Numbers that must not be mistaken for one another, each as its own type.
//!
//! They carry no arithmetic beyond what their meaning allows.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// The plain number.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl From<$inner> for $name {
            fn from(number: $inner) -> Self {
                Self(number)
            }
        }
    };
}

macro_rules! decimal {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}

macro_rules! hexadecimal {
    ($($name:ident),*) => {$(
        /// Lower-case hexadecimal without leading zeros, as `etcdctl` prints ids.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:x}", self.0)
            }
        }
    )*};
}

number!(
    /// A period with at most one leader.
    Term(u64)
);
number!(
    /// A position in the log. The first entry stands at 1 or above; 0 means "before the first entry".
    LogIndex(u64)
);
number!(
    /// The store's history position, as in etcd: an empty store is at 1, the first write makes 2.
    Revision(i64)
);
number!(
    /// A lease; 0 means "no lease". Negative ids are legal, as in etcd.
    LeaseId(i64)
);
number!(
    /// One participant of a cluster. Given once, never used again, never derived from a name. 0 is nobody.
    MemberId(u64)
);
number!(
    /// The members that share one log. 0 means "not founded yet".
    ClusterId(u64)
);

decimal!(Term, LogIndex, Revision);
hexadecimal!(MemberId, ClusterId, LeaseId);

impl LogIndex {
    /// The position after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The name of a deployment, fixed by configuration before any cluster exists (a UUID's 16 bytes, or derived
/// from `--initial-cluster-token`). Members of another group are refused at the handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GroupId(pub [u8; 16]);

impl fmt::Display for GroupId {
    /// The usual form of a UUID: 8-4-4-4-12 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}
