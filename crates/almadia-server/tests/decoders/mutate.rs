//! Mutations of valid inputs for a while. It knows no format.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant, SystemTime};

/// Inputs to go on from; beyond it a new one takes the place of an old one.
const POOL_MAX: usize = 500;
/// An input grows no longer.
const BYTES_MAX: usize = 64 * 1024;
const MUTATIONS_MAX: u64 = 6;
/// Numbers at which things turn.
const EDGES: &[u64] = &[
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    u64::MAX >> 1,
    u64::MAX,
];

struct Chance(u64);

impl Chance {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % below.max(1) as u64) as usize
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Feeds a decoder, which says whether it accepted. The valid inputs must be.
pub fn fuzz(name: &str, valid: Vec<Vec<u8>>, mut decode: impl FnMut(&[u8]) -> bool) {
    for input in &valid {
        assert!(decode(input), "{name}: a valid input is refused: {input:02x?}");
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number_from("ALMADIA_FUZZ_SEED").unwrap_or(now.as_nanos() as u64) | 1;
    let end = Instant::now() + Duration::from_secs(number_from("ALMADIA_FUZZ_SECONDS").unwrap_or(1));
    let mut chance = Chance(seed);
    let mut pool = valid;
    let (mut inputs, mut accepted) = (0_u64, 0_u64);
    while Instant::now() < end {
        let input = mutated(&pool, &mut chance);
        let mut is_accepted = false;
        let ended = catch_unwind(AssertUnwindSafe(|| is_accepted = decode(&input)));
        if let Err(panic) = ended {
            println!("{name}: seed {seed}, input {input:02x?}");
            resume_unwind(panic);
        }
        inputs += 1;
        if is_accepted {
            accepted += 1;
            if pool.len() < POOL_MAX {
                pool.push(input);
            } else {
                let place = chance.below(pool.len());
                pool[place] = input;
            }
        }
    }
    // A decoder that takes everything does not see what it is given.
    assert!(accepted < inputs, "{name}: all {inputs} inputs were accepted");
    println!("fuzz {name}: {inputs} inputs, {accepted} accepted");
}

fn mutated(pool: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut input = pool[chance.below(pool.len())].clone();
    for _ in 0..=chance.below(MUTATIONS_MAX as usize) {
        mutate(&mut input, pool, chance);
    }
    input.truncate(BYTES_MAX);
    input
}

fn mutate(input: &mut Vec<u8>, pool: &[Vec<u8>], chance: &mut Chance) {
    let at = chance.below(input.len());
    match chance.below(9) {
        0 | 1 if !input.is_empty() => input[at] ^= 1 << chance.below(8),
        2 if !input.is_empty() => input[at] = chance.below(256) as u8,
        3 => input.insert(at, chance.below(256) as u8),
        4 if !input.is_empty() => {
            let end = at + chance.below(input.len() - at + 1).min(16);
            input.drain(at..end);
        }
        5 => {
            let copied = input[at..].to_vec();
            let to = chance.below(input.len());
            input.splice(to..to, copied.into_iter().take(64));
        }
        6 => {
            let edge = EDGES[chance.below(EDGES.len())].to_le_bytes();
            let width = [1, 2, 4, 8][chance.below(4)];
            for (place, byte) in input.iter_mut().skip(at).zip(&edge[..width]) {
                *place = *byte;
            }
        }
        7 => {
            let other = &pool[chance.below(pool.len())];
            let from = chance.below(other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from.min(other.len())..]);
        }
        _ => input.truncate(at),
    }
}
