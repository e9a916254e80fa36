//! Whether a downgrade is prepared, and to which version: kept and shown, nothing more.

use crate::outcome::{Answer, Refusal};
use crate::table::{Table, TableError};
use almadia_command::DowngradeChange;
use bytes::Bytes;
use std::sync::Arc;

/// The version a downgrade is prepared to. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Downgrade {
    target: Option<Arc<str>>,
}

impl Downgrade {
    /// The version; empty when none is prepared.
    pub fn target(&self) -> &str {
        self.target.as_deref().unwrap_or("")
    }

    pub(crate) fn change(&mut self, change: &DowngradeChange) -> Result<Answer, Refusal> {
        match (self.target().is_empty(), change.target.is_empty()) {
            (true, true) => return Err(Refusal::NoDowngrade),
            (false, false) => return Err(Refusal::DowngradeInProgress),
            (true, false) => self.target = Some(change.target.as_str().into()),
            (false, true) => self.target = None,
        }
        Ok(Answer::Downgrade)
    }
}

impl Table for Downgrade {
    const SECTION: &'static str = "downgrade";

    fn encode(&self) -> Bytes {
        Bytes::copy_from_slice(self.target().as_bytes())
    }

    fn decode(bytes: Bytes) -> Result<Self, TableError> {
        let target = std::str::from_utf8(&bytes).map_err(|error| TableError::new(Self::SECTION, error))?;
        Ok(Self {
            target: (!target.is_empty()).then(|| target.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b5_7_one_at_a_time() {
        let change = |target: &str| DowngradeChange {
            target: target.to_owned(),
        };
        let mut downgrade = Downgrade::default();
        assert_eq!(downgrade.change(&change("")), Err(Refusal::NoDowngrade));
        assert_eq!(downgrade.change(&change("3.6.0")), Ok(Answer::Downgrade));
        assert_eq!(
            downgrade.change(&change("3.6.0")),
            Err(Refusal::DowngradeInProgress)
        );
        assert_eq!(Downgrade::decode(downgrade.encode()), Ok(downgrade.clone()));
        assert_eq!(downgrade.change(&change("")), Ok(Answer::Downgrade));
        assert_eq!(downgrade, Downgrade::default());
    }
}
