//! etcd's "simple" tokens, but signed: every member of the cluster can check one by the secret that stands in the log, and
//! none has to remember it. Looks like etcd's: letters, a dot, digits.
//!
//! ```text
//! token    letters "." auth revision, decimal
//! letters  two of a..p for each byte: HMAC-SHA256 32, format 1, valid until u64 (ms since 1970, big-endian), user's name
//! ```
//!
//! The code covers the auth revision too. It never reads a clock.

use super::Claims;
use aws_lc_rs::hmac;

/// The only form there is so far. Another one must differ here, so that members of two releases do not misread each other.
const FORMAT: u8 = 1;

/// What the code is for: the same secret may sign other things one day.
const PURPOSE: &[u8] = b"almadia simple token\0";

const CODE_BYTES: usize = 32;

/// Everything before the user's name.
const FIXED_BYTES: usize = CODE_BYTES + 1 + 8;

/// Longer ones are not looked at: a token is as long as its user's name wants it.
const TOKEN_CHARACTERS_MAX: usize = 16 * 1024;

/// Makes a token. It says of the user what `claims` says, to whoever has the secret.
pub(super) fn seal(secret: &[u8], claims: &Claims) -> String {
    let body = body(claims);
    let code = hmac::sign(&key(secret), &signed(&body, claims.revision));
    let mut token = String::with_capacity(2 * (CODE_BYTES + body.len()) + 21);
    for byte in code.as_ref().iter().chain(&body) {
        token.push(letter(byte >> 4));
        token.push(letter(byte & 15));
    }
    token.push('.');
    token.push_str(&claims.revision.to_string());
    token
}

/// What a token says, if it was made with this secret and holds at `now_ms`.
pub(super) fn open(secret: &[u8], token: &str, now_ms: u64) -> Option<Claims> {
    if secret.is_empty() || token.len() > TOKEN_CHARACTERS_MAX {
        return None;
    }
    let (letters, revision) = token.split_once('.')?;
    let revision = number(revision)?;
    let bytes = bytes(letters)?;
    let (code, body) = bytes.split_at_checked(CODE_BYTES)?;
    if bytes.len() < FIXED_BYTES || body[0] != FORMAT {
        return None;
    }
    hmac::verify(&key(secret), &signed(body, revision), code).ok()?;
    let until = body[1..9].try_into().expect("the range is eight bytes long");
    let claims = Claims {
        user: String::from_utf8(body[9..].to_vec()).ok()?,
        revision,
        until_ms: Some(u64::from_be_bytes(until)),
    };
    claims.holds_at(now_ms).then_some(claims)
}

fn key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

fn body(claims: &Claims) -> Vec<u8> {
    let mut body = vec![FORMAT];
    body.extend_from_slice(&claims.until_ms.unwrap_or(u64::MAX).to_be_bytes());
    body.extend_from_slice(claims.user.as_bytes());
    body
}

fn signed(body: &[u8], revision: u64) -> Vec<u8> {
    [PURPOSE, &revision.to_be_bytes(), body].concat()
}

fn letter(nibble: u8) -> char {
    char::from(b'a' + nibble)
}

fn bytes(letters: &str) -> Option<Vec<u8>> {
    let nibble = |letter: u8| letter.checked_sub(b'a').filter(|nibble| *nibble < 16);
    let (pairs, rest) = letters.as_bytes().as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?));
    rest.is_empty().then(|| bytes.collect())?
}

/// One way to write each number, so that there is one way to write each token.
fn number(digits: &str) -> Option<u64> {
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claims() -> Claims {
        Claims {
            user: "ann".to_owned(),
            revision: 7,
            until_ms: Some(5000),
        }
    }

    /// Row B6.5: the form clients know, and back. The form of a release must stay readable by the next.
    #[test]
    fn golden_token_and_back() {
        let token = seal(b"secret", &claims());
        let golden = "gpgjeljpjofgpgglljpmgaldpofdknocckaekaonadlbpinogocldgdigabahika\
                      abaaaaaaaaaaaabdiigbgogo.7";
        assert_eq!(token, golden);
        assert_eq!(open(b"secret", &token, 4999), Some(claims()));
    }

    #[test]
    fn ended_or_of_another_cluster() {
        let token = seal(b"secret", &claims());
        assert_eq!(open(b"secret", &token, 5000), None, "its time is over");
        assert_eq!(open(b"another", &token, 0), None);
        assert_eq!(
            open(b"", &seal(b"", &claims()), 0),
            None,
            "no secret signs nothing"
        );
    }

    /// Nobody can change a letter of it, and nobody's token is somebody else's.
    #[test]
    fn any_change_is_noticed() {
        let token = seal(b"secret", &claims());
        for at in 0..token.len() {
            for with in ["a", "p", "q", ".", "0", "7", "8", "", "aa"] {
                let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
                if changed != token {
                    assert_eq!(open(b"secret", &changed, 0), None, "{changed}");
                }
            }
        }
        for changed in [
            format!("{token}0"),
            format!("{token} "),
            format!("a{token}"),
            token.replace('.', ".0"),
            token.replace('.', ".+"),
        ] {
            assert_eq!(open(b"secret", &changed, 0), None, "{changed}");
        }
        let other = Claims {
            user: "root".to_owned(),
            ..claims()
        };
        assert_ne!(seal(b"secret", &other)[..2 * CODE_BYTES], token[..2 * CODE_BYTES]);
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened(user in ".{0,40}", revision: u64, until: u64) {
            let claims = Claims { user, revision, until_ms: Some(until) };
            let found = open(b"secret", &seal(b"secret", &claims), until.saturating_sub(1));
            prop_assert_eq!(found, (until > 0).then_some(claims));
        }

        /// No text makes it panic or is taken for a token.
        #[test]
        fn garbage_is_no_token(text in ".{0,120}", letters in "[a-p]{82,100}\\.[0-9]{1,20}") {
            prop_assert_eq!(open(b"secret", &text, 0), None);
            prop_assert_eq!(open(b"secret", &letters, 0), None);
        }
    }
}
