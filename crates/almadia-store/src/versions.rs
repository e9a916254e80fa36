//! One key's life, backwards: its versions and the marks of its deletions, as far as compaction has left them. For people who
//! look; no command reads this.

use crate::record::Record;
use crate::view::View;
use almadia_command::Revision;

impl View {
    /// The versions of a key, newest first, tombstones among them; with `below` those of earlier revisions only.
    ///
    /// Of those at or below the compacted revision there is at most one: the one that a read there sees. Each step costs a
    /// search in the key's own history, nothing that grows with the database.
    pub fn versions(&self, key: &[u8], below: Option<Revision>) -> impl Iterator<Item = &Record> {
        let entry = self.index.get(key);
        let compacted = self.compacted();
        let first = entry.and_then(|entry| match below {
            None => Some(entry.newest),
            Some(below) if below <= compacted => None,
            Some(below) => entry.newest_at(Revision(below.0 - 1)),
        });
        let mut is_last = false;
        std::iter::successors(first, move |record| entry?.older(record)).map_while(move |record| {
            let is_behind = std::mem::replace(&mut is_last, record.mod_revision() <= compacted);
            // A deletion that was compacted is nothing any more, like what it deleted.
            let is_gone = is_last && record.is_tombstone();
            (!is_behind && !is_gone).then_some(record)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::store::Store;
    use almadia_command::{
        Command, Compact, DeleteRange, Kind, LogIndex, Operation, OperationKind, Put, Revision, Term, Txn,
    };

    struct Script {
        store: Store,
        index: u64,
    }

    impl Script {
        fn new() -> Self {
            Self {
                store: Store::empty(),
                index: 0,
            }
        }

        fn apply(&mut self, kind: Kind) {
            self.index += 1;
            let outcome = self
                .store
                .apply(LogIndex(self.index), Term(1), &Command::from(kind));
            outcome.result.expect("the script is sound");
        }

        fn put(&mut self, value: &str) {
            self.apply(Kind::Put(put(value)));
        }

        fn delete(&mut self) {
            self.apply(Kind::DeleteRange(delete()));
        }

        fn compact(&mut self, revision: i64) {
            self.apply(Kind::Compact(Compact {
                revision,
                ..Compact::default()
            }));
        }

        /// As `revision` and its value or `-` for a deletion.
        #[track_caller]
        fn check(&mut self, below: Option<i64>, expected: &[&str]) {
            let view = self.store.publish();
            let found: Vec<String> = view
                .versions(b"k", below.map(Revision))
                .map(|record| {
                    let value = String::from_utf8_lossy(record.value()).into_owned();
                    let shown = if record.is_tombstone() {
                        "-".to_owned()
                    } else {
                        value
                    };
                    format!("{} {shown}", record.mod_revision().0)
                })
                .collect();
            assert_eq!(found, expected);
        }
    }

    fn put(value: &str) -> Put {
        Put {
            key: "k".into(),
            value: value.to_owned().into(),
            ..Put::default()
        }
    }

    fn delete() -> DeleteRange {
        DeleteRange {
            key: "k".into(),
            ..DeleteRange::default()
        }
    }

    #[test]
    fn a_key_that_is_deleted_and_comes_again() {
        let mut script = Script::new();
        script.check(None, &[]);
        script.put("a");
        script.put("b");
        script.delete();
        script.check(None, &["4 -", "3 b", "2 a"]);
        script.put("c");
        script.check(None, &["5 c", "4 -", "3 b", "2 a"]);
        script.check(Some(5), &["4 -", "3 b", "2 a"]);
        script.check(Some(4), &["3 b", "2 a"]);
        script.check(Some(2), &[]);
        script.check(Some(1000), &["5 c", "4 -", "3 b", "2 a"]);
    }

    #[test]
    fn compaction_leaves_what_a_read_there_sees() {
        let mut script = Script::new();
        for value in ["a", "b", "c"] {
            script.put(value);
        }
        script.compact(3);
        script.check(None, &["4 c", "3 b"]);
        script.check(Some(4), &["3 b"]);
        script.check(Some(3), &[]);
        script.delete();
        script.check(None, &["5 -", "4 c", "3 b"]);
        script.put("d");
        script.compact(5);
        script.check(None, &["6 d"]);
        script.delete();
        script.compact(7);
        script.check(None, &[]);
    }

    /// Both changes of a key in one transaction are there, in their order.
    #[test]
    fn deleted_and_put_in_one_transaction() {
        let mut script = Script::new();
        script.put("a");
        let operations = [OperationKind::DeleteRange(delete()), OperationKind::Put(put("b"))];
        script.apply(Kind::Txn(Txn {
            success: operations.map(|kind| Operation { kind: Some(kind) }).into(),
            ..Txn::default()
        }));
        script.check(None, &["3 b", "3 -", "2 a"]);
        script.check(Some(3), &["2 a"]);
    }

    /// Long histories are kept otherwise than short ones.
    #[test]
    fn a_key_that_is_put_often() {
        let mut script = Script::new();
        for number in 0..300 {
            if number % 7 == 6 {
                script.delete();
            } else {
                script.put(&number.to_string());
            }
        }
        let shown = |number: i64| {
            let value = if number % 7 == 6 {
                "-".to_owned()
            } else {
                number.to_string()
            };
            format!("{} {value}", number + 2)
        };
        let all: Vec<String> = (0..300).rev().map(shown).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        script.check(None, &all);
        script.check(Some(102), &all[200..]);
    }
}
