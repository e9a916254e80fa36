//! Base64 in both alphabets: the standard one, in which clients may send a hash in the place of a password and keys stand in
//! PEM files, and the one of JSON Web Tokens. Strict: there is one way to write any bytes.

/// The last two characters of the alphabets, in which they differ.
const STANDARD: [u8; 2] = *b"+/";
const URL: [u8; 2] = *b"-_";

/// Bytes from standard base64 with its padding.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    decode_digits(&text[..text.len() - padding], STANDARD)
}

/// Bytes from the alphabet of URLs, without padding.
pub(crate) fn decode_url(text: &str) -> Option<Vec<u8>> {
    decode_digits(text.as_bytes(), URL)
}

/// In the alphabet of URLs, without padding.
pub(crate) fn encode_url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for digit in 0..=chunk.len() {
            text.push(character((bits >> (18 - 6 * digit)) as u8 & 63));
        }
    }
    text
}

fn decode_digits(digits: &[u8], last_two: [u8; 2]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0u32, 0);
    for digit in digits {
        bits = bits << 6 | u32::from(value(*digit, last_two)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // What is left over are fewer bits than a digit has, all of them zero.
    (count < 6 && bits == 0).then_some(bytes)
}

fn value(character: u8, last_two: [u8; 2]) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        other if other == last_two[0] => 62,
        other if other == last_two[1] => 63,
        _ => return None,
    })
}

fn character(value: u8) -> char {
    char::from(match value {
        0..26 => b'A' + value,
        26..52 => b'a' + value - 26,
        52..62 => b'0' + value - 52,
        62 => URL[0],
        _ => URL[1],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The vectors of RFC 4648, section 10, and what is not base64.
    #[test]
    fn standard() {
        let vectors = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let texts = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (bytes, text) in vectors.into_iter().zip(texts) {
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()), "{text}");
            let unpadded = text.trim_end_matches('=');
            assert_eq!(encode_url(bytes.as_bytes()), unpadded);
            assert_eq!(decode_url(unpadded).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(decode("+/+/"), Some(vec![0xfb, 0xff, 0xbf]));
        assert_eq!(decode_url("-_-_"), Some(vec![0xfb, 0xff, 0xbf]));
        for text in [
            "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z===", "====", "Zm9v\n", "Zm-v", "Zg==Zg==", "ü",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
        for text in ["Z", "Zh", "Zm9vZ", "Zg==", "Zm+v"] {
            assert_eq!(decode_url(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(bytes in proptest::collection::vec(any::<u8>(), 0..50), text in "[A-Za-z0-9_-]{0,9}") {
            prop_assert_eq!(decode_url(&encode_url(&bytes)), Some(bytes));
            if let Some(bytes) = decode_url(&text) {
                prop_assert_eq!(encode_url(&bytes), text);
            }
        }
    }
}
