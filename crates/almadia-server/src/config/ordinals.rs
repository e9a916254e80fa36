//! What a member of a set is told instead of a list: how all of them are called and reached, and how many there are to be.

use almadia_member::founding::InitialPeer;
use almadia_member::naming::{MEMBERS_MAX, Naming};
use std::path::PathBuf;

/// How the members of a set find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordinals {
    /// Names and addresses.
    pub naming: Naming,
    /// This member's ordinal.
    pub own: u32,
    /// `--cluster-size`: how many found the cluster.
    pub size: u32,
    /// `--wished-size`: how many there are to be.
    pub wished: WishedSource,
}

/// Who says how many members there are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WishedSource {
    /// `--cluster-size`, for as long as the process runs.
    Fixed,
    /// A number in this file, which is looked at again and again.
    File(PathBuf),
    /// The replicas of this StatefulSet.
    StatefulSet(StatefulSet),
}

/// Which object, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatefulSet {
    /// `https://HOST:PORT` of Kubernetes' API.
    pub api: String,
    /// A directory with the files `token` and `ca.crt`.
    pub account: PathBuf,
    /// The object's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A member that is not to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrdinalsError {
    /// The size cannot be.
    #[error("--cluster-size {0}: allowed is a number from 1 to {MEMBERS_MAX}")]
    Size(u32),
    /// Nobody will ever wish for this member.
    #[error(
        "ordinal {own} is outside --cluster-size {size}, which is the wished size (--wished-size fixed): there is no such member"
    )]
    Outside {
        /// The ordinal.
        own: u32,
        /// The size.
        size: u32,
    },
}

impl Ordinals {
    /// Checks that there is to be such a member.
    ///
    /// # Errors
    /// [`OrdinalsError`].
    pub fn check(&self) -> Result<(), OrdinalsError> {
        let (own, size) = (self.own, self.size);
        if size == 0 || size > MEMBERS_MAX {
            return Err(OrdinalsError::Size(size));
        }
        if own >= size && self.wished == WishedSource::Fixed {
            return Err(OrdinalsError::Outside { own, size });
        }
        Ok(())
    }

    /// True for one of those that found the cluster; any other only ever joins.
    pub fn is_founder(&self) -> bool {
        self.own < self.size
    }

    /// The founders, and this member besides where it is none of them.
    pub fn initial_cluster(&self) -> Vec<InitialPeer> {
        let mut peers = self.naming.first(self.size);
        if !self.is_founder() {
            peers.push(self.naming.peer(self.own));
        }
        peers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordinals(own: u32, size: u32, wished: WishedSource) -> Ordinals {
        let naming = Naming::new("a-0", "http://a-%d.a:2380").unwrap();
        Ordinals {
            naming,
            own,
            size,
            wished,
        }
    }

    /// M1.11: outside the size is refused where the size is fixed; where it may grow, such a member joins and never founds.
    #[test]
    fn who_founds_and_who_joins() {
        let file = || WishedSource::File("size".into());
        assert_eq!(ordinals(2, 3, WishedSource::Fixed).check(), Ok(()));
        let outside = Err(OrdinalsError::Outside { own: 3, size: 3 });
        assert_eq!(ordinals(3, 3, WishedSource::Fixed).check(), outside);
        assert_eq!(ordinals(3, 3, file()).check(), Ok(()));
        assert_eq!(ordinals(0, 0, file()).check(), Err(OrdinalsError::Size(0)));
        assert_eq!(ordinals(0, 10, file()).check(), Err(OrdinalsError::Size(10)));
        let names = |ordinals: Ordinals| -> Vec<String> {
            ordinals
                .initial_cluster()
                .into_iter()
                .map(|peer| peer.name)
                .collect()
        };
        assert_eq!(names(ordinals(0, 3, file())), ["a-0", "a-1", "a-2"]);
        assert_eq!(names(ordinals(4, 3, file())), ["a-0", "a-1", "a-2", "a-4"]);
        assert!(ordinals(2, 3, file()).is_founder() && !ordinals(3, 3, file()).is_founder());
    }
}
