//! Decodes the Huffman code of HPACK (RFC 7541, appendix B).
//!
//! The code is canonical, so the lengths alone give the codes. Slow and small: only unknown trailers are decoded.
//! Never encodes.

/// Code length in bits of each byte.
const CODE_BITS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26,
];

/// The longest code there is.
const CODE_BITS_MAX: usize = 30;

/// Decodes `bytes`; `None` if a code is unknown or the padding is not the beginning of the end mark.
pub fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let order = symbols_by_code();
    let mut out = Vec::with_capacity(bytes.len() * 2);
    let mut code = 0_u32;
    let mut bits = 0_usize;
    for byte in bytes {
        for shift in (0..8).rev() {
            code = code << 1 | u32::from(byte >> shift & 1);
            bits += 1;
            if let Some(symbol) = symbol_of(&order, code, bits) {
                out.push(symbol);
                (code, bits) = (0, 0);
            } else if bits >= CODE_BITS_MAX {
                return None;
            }
        }
    }
    // What is left over must be ones: the front of the end mark, shorter than a byte.
    (bits < 8 && code == (1 << bits) - 1).then_some(out)
}

/// All bytes, ordered as a canonical code orders them.
fn symbols_by_code() -> Vec<u8> {
    let mut order: Vec<u8> = (0..=255).collect();
    order.sort_by_key(|symbol| (CODE_BITS[usize::from(*symbol)], *symbol));
    order
}

/// The byte whose code is exactly `code` of `bits` bits.
fn symbol_of(order: &[u8], code: u32, bits: usize) -> Option<u8> {
    let mut next = 0_u32;
    let mut next_bits = 0;
    for symbol in order {
        let symbol_bits = usize::from(CODE_BITS[usize::from(*symbol)]);
        if symbol_bits > bits {
            return None;
        }
        next <<= symbol_bits - next_bits;
        next_bits = symbol_bits;
        if symbol_bits == bits && next == code {
            return Some(*symbol);
        }
        next += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7541, appendix C.4 and C.6.
    #[test]
    fn the_examples_of_the_rfc() {
        let host = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(decode(&host).as_deref(), Some(&b"www.example.com"[..]));
        assert_eq!(
            decode(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).as_deref(),
            Some(&b"no-cache"[..])
        );
        assert_eq!(decode(&[0x64, 0x02]).as_deref(), Some(&b"302"[..]));
        assert_eq!(decode(&[]).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn wrong_padding_is_refused() {
        assert_eq!(decode(&[0x64, 0x03, 0x00]).map(|text| text.len()), None);
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff]), None);
    }
}
