//! The bytes of a file in pages that copies share, so that an image of a whole disk costs little.
//!
//! Never knows what is synced; that is the file's business.

use std::ops::RangeInclusive;
use std::sync::Arc;

pub(super) const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

/// A file's bytes. A page that is absent is all zeros; bytes behind `len` are zeros.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    len: u64,
    pages: Vec<Option<Arc<Page>>>,
}

impl Pages {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills the buffer; false when the file ends before.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> bool {
        if offset
            .checked_add(buffer.len() as u64)
            .is_none_or(|end| end > self.len)
        {
            return false;
        }
        let mut at = offset as usize;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (page, start) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let count = rest.len().min(PAGE_BYTES - start);
            let (now, later) = rest.split_at_mut(count);
            match &self.pages[page] {
                Some(bytes) => now.copy_from_slice(&bytes[start..start + count]),
                None => now.fill(0),
            }
            rest = later;
            at += count;
        }
        true
    }

    /// Writes and says which pages were touched.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Option<RangeInclusive<usize>> {
        if bytes.is_empty() {
            return None;
        }
        let first = offset as usize / PAGE_BYTES;
        self.grow(offset + bytes.len() as u64);
        let mut at = offset as usize;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (page, start) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let (now, later) = rest.split_at(rest.len().min(PAGE_BYTES - start));
            let slot = &mut self.pages[page];
            // Files written beforehand are mostly zeros: they cost no memory.
            if slot.is_some() || now.iter().any(|byte| *byte != 0) {
                let bytes = Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; PAGE_BYTES])));
                bytes[start..start + now.len()].copy_from_slice(now);
            }
            rest = later;
            at += now.len();
        }
        Some(first..=(at - 1) / PAGE_BYTES)
    }

    /// Cuts or grows; says which pages may have changed.
    pub(super) fn set_len(&mut self, len: u64) -> Option<RangeInclusive<usize>> {
        if len >= self.len {
            self.grow(len);
            return None;
        }
        let (page, start) = (len as usize / PAGE_BYTES, len as usize % PAGE_BYTES);
        let touched = page..=(self.pages.len() - 1);
        if let Some(Some(bytes)) = self.pages.get_mut(page) {
            Arc::make_mut(bytes)[start..].fill(0);
        }
        self.pages.truncate((len as usize).div_ceil(PAGE_BYTES));
        self.len = len;
        Some(touched)
    }

    /// Takes some pieces (of `piece_bytes`, a divisor of the page) of one page from another file's bytes.
    pub(super) fn take(
        &mut self,
        from: &Pages,
        page: usize,
        piece_bytes: usize,
        mut keep: impl FnMut() -> bool,
    ) {
        let Some(slot) = self.pages.get_mut(page) else {
            return;
        };
        let source = from.pages.get(page).cloned().flatten();
        if piece_bytes == PAGE_BYTES {
            if keep() {
                *slot = source;
            }
            return;
        }
        for start in (0..PAGE_BYTES).step_by(piece_bytes) {
            if keep() {
                let target = Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; PAGE_BYTES])));
                let piece = &mut target[start..start + piece_bytes];
                match &source {
                    Some(bytes) => piece.copy_from_slice(&bytes[start..start + piece_bytes]),
                    None => piece.fill(0),
                }
            }
        }
    }

    /// Zeros what a page taken from a longer file may have brought behind the end.
    pub(super) fn clear_behind_end(&mut self) {
        let start = self.len as usize % PAGE_BYTES;
        if start != 0
            && let Some(Some(bytes)) = self.pages.last_mut()
        {
            Arc::make_mut(bytes)[start..].fill(0);
        }
    }

    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) {
        if offset < self.len {
            let slot = &mut self.pages[offset as usize / PAGE_BYTES];
            let bytes = Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; PAGE_BYTES])));
            bytes[offset as usize % PAGE_BYTES] ^= 1 << bit;
        }
    }

    fn grow(&mut self, len: u64) {
        if len > self.len {
            self.len = len;
            self.pages.resize((len as usize).div_ceil(PAGE_BYTES), None);
        }
    }
}
