//! Numbers and byte strings from bytes that nobody vouches for, and into bytes.
//!
//! Fixed numbers are little-endian; small numbers are LEB128 varints. Reading never panics and never reserves
//! memory by what the bytes claim: it answers None where the bytes end or do not fit.

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take(2)
            .map(|bytes| u16::from_le_bytes(bytes.try_into().expect("two bytes were taken")))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4)
            .map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes were taken")))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take(8)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
    }

    /// A number that is a revision or a count of them: fits the API's signed type.
    pub(super) fn i64(&mut self) -> Option<i64> {
        self.u64().and_then(|number| i64::try_from(number).ok())
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for (position, byte) in self.0.iter().enumerate().take(10) {
            let low = u64::from(byte & 0x7f);
            if position == 9 && low > 1 {
                return None;
            }
            number |= low << (7 * position);
            if byte & 0x80 == 0 {
                self.0 = &self.0[position + 1..];
                return Some(number);
            }
        }
        None
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

/// Appends `number` in seven bits a byte, lowest first.
pub(super) fn put_varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

pub(super) fn put_u16(into: &mut Vec<u8>, number: u16) {
    into.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn put_u32(into: &mut Vec<u8>, number: u32) {
    into.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn put_u64(into: &mut Vec<u8>, number: u64) {
    into.extend_from_slice(&number.to_le_bytes());
}

/// Revisions and their kin are never negative.
pub(super) fn put_i64(into: &mut Vec<u8>, number: i64) {
    put_u64(into, u64::try_from(number).expect("revisions are not negative"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Every number comes back, and nothing behind it is touched.
        #[test]
        fn varints_come_back(number: u64, tail: Vec<u8>) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            bytes.extend_from_slice(&tail);
            let mut fields = Fields(&bytes);
            prop_assert_eq!(fields.varint(), Some(number));
            prop_assert_eq!(fields.0, &tail[..]);
        }

        /// Garbage gives an answer, never a panic.
        #[test]
        fn garbage_is_survived(bytes: Vec<u8>) {
            let mut fields = Fields(&bytes);
            while fields.varint().is_some() {}
            let mut fields = Fields(&bytes);
            while fields.u64().is_some() || fields.u32().is_some() || fields.u8().is_some() {}
        }
    }
}
