//! Small tables beside the keys: kept whole in each view, and whole in a section of each manifest, under the same
//! checksum as the rest of the state.

use bytes::Bytes;
use std::collections::BTreeMap;

/// A table that a manifest keeps whole.
pub(crate) trait Table: Default {
    /// The section's name. Never changed once released.
    const SECTION: &'static str;

    /// Its bytes; empty for an empty table.
    fn encode(&self) -> Bytes;

    /// The reverse; never panics, whatever the bytes.
    fn decode(bytes: Bytes) -> Result<Self, TableError>;
}

/// Bytes that are no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the table of {section} is damaged: {why}")]
pub struct TableError {
    section: &'static str,
    why: String,
}

impl TableError {
    pub(crate) fn new(section: &'static str, why: impl ToString) -> Self {
        Self {
            section,
            why: why.to_string(),
        }
    }
}

/// Puts a table where a manifest finds it; an empty one leaves no trace.
pub(crate) fn save<T: Table>(table: &T, sections: &mut BTreeMap<String, Bytes>) {
    let bytes = table.encode();
    if !bytes.is_empty() {
        sections.insert(T::SECTION.to_owned(), bytes);
    }
}

/// Finds a table again; an absent one is empty.
pub(crate) fn load<T: Table>(sections: &BTreeMap<String, Bytes>) -> Result<T, TableError> {
    match sections.get(T::SECTION) {
        Some(bytes) => T::decode(bytes.clone()),
        None => Ok(T::default()),
    }
}
