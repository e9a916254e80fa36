//! The kinds of load by name, and what they need when nothing else is said.

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// Write random keys.
    Put,
    /// Read random keys, linearizable.
    Get,
    /// Read random keys as the asked member has them.
    SerializableGet,
    /// Read 500 keys in a row.
    Range,
    /// Write a key if nobody else has (compare-and-swap).
    Txn,
    /// Read a page of 500 of a list that goes on to the end of the prefix, as Kubernetes does.
    List,
    /// Count all keys of the prefix.
    Count,
    /// Half txn, four tenths get, one tenth list.
    Mix,
    /// What kube-apiservers ask: reads, pages, guarded writes, and watches that are told of them.
    Kube,
    /// Renew leases, each client on a stream of its own.
    Keepalive,
    /// Tell watchers of puts at a fixed rate; an operation is an event at a watcher.
    Watch,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 11] = [
        Self::Put,
        Self::Get,
        Self::SerializableGet,
        Self::Range,
        Self::Txn,
        Self::List,
        Self::Count,
        Self::Mix,
        Self::Kube,
        Self::Keepalive,
        Self::Watch,
    ];

    /// As it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::SerializableGet => "serializable get",
            Self::Range => "range of 500",
            Self::Txn => "compare-and-swap txn",
            Self::List => "list, limit 500",
            Self::Count => "count_only",
            Self::Mix => "mix",
            Self::Kube => "kube",
            Self::Keepalive => "lease keepalive",
            Self::Watch => "watch",
        }
    }

    /// How many clients when nothing else is said.
    pub fn clients_default(self) -> &'static [usize] {
        match self {
            Self::Put => &[1, 64, 256, 1024],
            Self::Range | Self::List => &[16],
            Self::Count => &[4],
            _ => &[64],
        }
    }

    /// How many watchers when nothing else is said; 0: nobody watches.
    pub fn watchers_default(self) -> &'static [usize] {
        match self {
            Self::Watch => &[1, 100, 1000],
            // Three apiservers with a watch each on objects and on events.
            Self::Kube => &[6],
            _ => &[0],
        }
    }

    /// Operations per second when nothing else is said; `None`: as fast as answers come.
    pub fn rate_default(self, watchers: usize) -> Option<f64> {
        // At most 50,000 events a second, so that one core can tell them; fewer than 20 puts a second would be few to
        // make a p99 of.
        (self == Self::Watch).then(|| (50_000.0 / watchers as f64).clamp(20.0, 200.0))
    }

    /// Whether somebody watches what is written.
    pub fn is_watched(self) -> bool {
        self.watchers_default() != [0]
    }

    /// Whether the size of values makes a difference to be told.
    pub fn writes(self) -> bool {
        matches!(self, Self::Put | Self::Txn | Self::Mix | Self::Kube | Self::Watch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_are_fewer_where_watchers_are_many() {
        let rates = [1, 100, 1_000, 10_000].map(|watchers| Kind::Watch.rate_default(watchers));
        assert_eq!(rates, [Some(200.0), Some(200.0), Some(50.0), Some(20.0)]);
        assert_eq!(Kind::Put.rate_default(0), None);
    }
}
