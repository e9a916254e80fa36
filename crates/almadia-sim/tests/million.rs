//! A million calls are checked as a matter of course: in seconds, without a finding when nothing is wrong, and with one when
//! one answer in the middle is.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use almadia_sim::checks::{LeaseBounds, Promise, check_all};
use almadia_sim::history::*;
use std::collections::BTreeMap;

const CALLS: u64 = 1_000_000;
const KEYS: u64 = 50;
/// Most calls overlap with some others.
const LASTING_US_MAX: u64 = 60;

/// A cluster without a fault, and chance from a number.
struct World {
    state: u64,
    keys: BTreeMap<Text, KeyValue>,
    revision: Revision,
    history: History,
}

impl World {
    fn chance(&mut self, below: u64) -> u64 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % below
    }

    fn key(&mut self) -> Text {
        format!("k{:02}", self.chance(KEYS)).into()
    }

    fn change(&mut self, event: Event) {
        self.history.changes.push(Change {
            member: 1,
            revision: self.revision,
            events: vec![event],
        });
    }

    fn put(&mut self, number: u64) -> (Request, Body) {
        let (key, value) = (self.key(), Text::from(number.to_string()));
        self.revision += 1;
        let before = self.keys.get(&key).cloned();
        let kv = KeyValue {
            key: key.clone(),
            value: value.clone(),
            create_revision: before.as_ref().map_or(self.revision, |kv| kv.create_revision),
            mod_revision: self.revision,
            version: before.as_ref().map_or(0, |kv| kv.version) + 1,
            lease: 0,
        };
        self.keys.insert(key.clone(), kv.clone());
        self.change(Event::Put { kv, prev: None });
        let request = Request::Put {
            key,
            value,
            lease: 0,
            prev_kv: true,
        };
        (request, Body::Put { prev: before })
    }

    fn delete(&mut self) -> (Request, Body) {
        let key = self.key();
        let gone: Vec<KeyValue> = self.keys.remove(&key).into_iter().collect();
        let deleted = gone.len() as i64;
        if deleted > 0 {
            self.revision += 1;
            let mod_revision = self.revision;
            let key = key.clone();
            self.change(Event::Delete {
                key,
                mod_revision,
                prev: None,
            });
        }
        let request = Request::Delete {
            span: Span::one(key),
            prev_kv: true,
        };
        (request, Body::Delete { deleted, prevs: gone })
    }

    fn read(&mut self) -> (Request, Body) {
        let span = match self.chance(10) {
            0 => Span::between("k1", "k2"),
            _ => Span::one(self.key()),
        };
        let kvs: Vec<KeyValue> = self
            .keys
            .values()
            .filter(|kv| span.holds(&kv.key))
            .cloned()
            .collect();
        let count = kvs.len() as i64;
        let more = false;
        (Request::Range(Range::of(span)), Body::Range { kvs, count, more })
    }

    fn step(&mut self, number: u64) {
        let (request, body) = match self.chance(20) {
            0..=8 => self.put(number),
            9 => self.delete(),
            _ => self.read(),
        };
        let moment = 1000 + number * 10;
        let (before, after) = (self.chance(LASTING_US_MAX), self.chance(LASTING_US_MAX));
        let revision = self.revision;
        let outcome = match self.chance(50) {
            0 => Outcome::Unknown,
            _ => Outcome::Done(Answer { revision, body }),
        };
        self.history.calls.push(Call {
            client: number % 16,
            member: None,
            invoked_us: moment - before,
            returned_us: moment + after,
            request,
            outcome,
        });
    }
}

#[test]
fn a_million_calls_are_checked() {
    let mut world = World {
        state: 7,
        keys: BTreeMap::new(),
        revision: 1,
        history: History::default(),
    };
    (0..CALLS).for_each(|number| world.step(number));
    let mut history = world.history;
    let started = std::time::Instant::now();
    assert_eq!(check_all(&history, LeaseBounds::default()), vec![]);
    println!(
        "{CALLS} calls, {} revisions checked in {:.1} s",
        history.changes.len(),
        started.elapsed().as_secs_f64()
    );
    // One read of one key, in the middle, answers the value before.
    let planted = history.calls[CALLS as usize / 2..]
        .iter_mut()
        .find_map(|call| match &mut call.outcome {
            Outcome::Done(Answer {
                body: Body::Range { kvs, .. },
                ..
            }) => kvs.first_mut(),
            _ => None,
        });
    planted.unwrap().version -= 1;
    let promises: Vec<Promise> = check_all(&history, LeaseBounds::default())
        .iter()
        .map(|finding| finding.promise)
        .collect();
    assert_eq!(promises, [Promise::Linear]);
}
