//! The names of the keeper's files, made and read back.

/// Where segments live.
pub(super) const SEGMENT_DIR: &str = "seg";
/// Where an incoming snapshot is gathered.
pub(super) const INCOMING_DIR: &str = "snap-in";
/// Second names of files that are being sent.
pub(super) const OUTGOING_DIR: &str = "snap-out";
/// Blocks kept for the manifest of a full volume.
pub(super) const RESERVE: &str = "reserve";

const MANIFEST_PREFIX: &str = "MANIFEST-";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// `MANIFEST-<number>`, in the data directory itself.
pub(super) fn manifest(number: u64) -> String {
    format!("{MANIFEST_PREFIX}{number}")
}

/// The number in a manifest's plain name.
pub(super) fn manifest_number(name: &str) -> Option<u64> {
    let number: u64 = name.strip_prefix(MANIFEST_PREFIX)?.parse().ok()?;
    // Not "+1" or "01": one state must not have two names.
    (manifest(number) == name).then_some(number)
}

/// What a file is called until it is whole and synced.
pub(super) fn temporary(name: &str) -> String {
    format!("{name}{TEMPORARY_SUFFIX}")
}

/// True for files that a crash left unfinished.
pub(super) fn is_temporary_manifest(name: &str) -> bool {
    name.strip_suffix(TEMPORARY_SUFFIX)
        .is_some_and(|name| manifest_number(name).is_some())
}

/// `seg/<first>-<last>-<generation>.seg`. The generation is never used twice, so a name is never used twice.
pub(super) fn segment(first: i64, last: i64, generation: u64) -> String {
    format!("{SEGMENT_DIR}/{first:019}-{last:019}-{generation}.seg")
}

/// What a segment is called while it is written.
pub(super) fn segment_temporary(generation: u64) -> String {
    format!("{SEGMENT_DIR}/{generation}{TEMPORARY_SUFFIX}")
}

/// The generation in the plain name of a file in [`SEGMENT_DIR`], finished or not.
pub(super) fn generation(name: &str) -> Option<u64> {
    let stem = name
        .strip_suffix(".seg")
        .or_else(|| name.strip_suffix(TEMPORARY_SUFFIX))?;
    stem.rsplit('-').next()?.parse().ok()
}

/// A file inside a directory.
pub(super) fn inside(dir: &str, name: &str) -> String {
    format!("{dir}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are part of the format: a later release must find the files of this one.
    #[test]
    fn names_are_as_released() {
        assert_eq!(manifest(7), "MANIFEST-7");
        assert_eq!(
            segment(2, 90, 3),
            "seg/0000000000000000002-0000000000000000090-3.seg"
        );
        assert_eq!(manifest_number("MANIFEST-18"), Some(18));
        assert_eq!(manifest_number("MANIFEST-018"), None);
        assert_eq!(manifest_number("MANIFEST-18.tmp"), None);
        assert!(is_temporary_manifest("MANIFEST-18.tmp"));
        assert_eq!(
            generation("0000000000000000002-0000000000000000090-3.seg"),
            Some(3)
        );
        assert_eq!(generation("12.tmp"), Some(12));
        assert_eq!(generation("notes"), None);
    }
}
