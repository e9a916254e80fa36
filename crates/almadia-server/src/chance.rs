//! Random numbers from the operating system: the only place below the program where chance comes in.

use std::fs::File;
use std::io::{self, Read};

/// Draws evenly distributed numbers from `/dev/urandom`.
#[derive(Debug)]
pub struct Chance {
    source: File,
}

impl Chance {
    /// Opens the source.
    ///
    /// # Errors
    /// When the system has none (`/dev` not mounted).
    pub fn open() -> io::Result<Self> {
        let mut chance = Self {
            source: File::open("/dev/urandom")?,
        };
        chance.try_draw()?;
        Ok(chance)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.try_draw()
            .expect("a source that could be read once can be read again")
    }

    fn try_draw(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.source.read_exact(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sources do not repeat each other: an id drawn twice would be one member in two places.
    #[test]
    fn numbers_differ() {
        let (mut one, mut other) = (Chance::open().unwrap(), Chance::open().unwrap());
        let mut numbers: Vec<u64> = (0..100).flat_map(|_| [one.draw(), other.draw()]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 200);
    }
}
