//! `--auth-token`: which tokens are given out, in etcd's words: `simple`, or `jwt,sign-method=…,pub-key=…,priv-key=…,ttl=…`.
//! It opens no file: whoever reads the keys hands them in.

use super::duration;
use almadia_etcd::{Jwt, TokenKind};
use std::time::Duration;

/// How long a JSON Web Token holds unless it is said, as in etcd.
const JWT_TTL: Duration = Duration::from_secs(5 * 60);

/// What was asked for, with the keys still in their files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthToken {
    /// Tokens of our own.
    Simple,
    /// JSON Web Tokens.
    Jwt(JwtFiles),
}

/// Where the keys of JSON Web Tokens are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JwtFiles {
    method: String,
    private: Option<String>,
    public: Option<String>,
    ttl: Option<Duration>,
}

impl AuthToken {
    /// Reads the setting.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        match parts.next() {
            Some("simple") => match parts.next() {
                None => Ok(Self::Simple),
                Some(_) => Err("simple takes no options".to_owned()),
            },
            Some("jwt") => JwtFiles::parse(parts).map(Self::Jwt),
            _ => Err("allowed are simple and jwt,OPTION=VALUE,..".to_owned()),
        }
    }

    /// The tokens themselves, once the keys have been read.
    ///
    /// # Errors
    /// A file that cannot be read, or keys that cannot be used.
    pub fn load(
        &self,
        simple_ttl: Duration,
        read: impl Fn(&str) -> std::io::Result<Vec<u8>>,
    ) -> Result<TokenKind, String> {
        let files = match self {
            Self::Simple => return Ok(TokenKind::Simple { ttl: simple_ttl }),
            Self::Jwt(files) => files,
        };
        let key = |path: &Option<String>| {
            let read = |path: &String| read(path).map_err(|error| format!("{path} cannot be read: {error}"));
            path.as_ref().map(read).transpose()
        };
        let (private, public) = (key(&files.private)?, key(&files.public)?);
        let ttl = files.ttl.unwrap_or(JWT_TTL);
        let jwt = Jwt::new(&files.method, private.as_deref(), public.as_deref(), ttl);
        jwt.map(TokenKind::Jwt).map_err(|error| error.to_string())
    }
}

impl JwtFiles {
    fn parse<'a>(options: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut files = Self::default();
        let mut seen = Vec::new();
        for option in options {
            let (name, value) = option
                .split_once('=')
                .filter(|(_, value)| !value.contains('='))
                .ok_or_else(|| format!("{option:?} is not OPTION=VALUE"))?;
            if seen.contains(&name) {
                return Err(format!("{name} stands twice"));
            }
            seen.push(name);
            let file = || Some(value.to_owned()).filter(|path| !path.is_empty());
            match name {
                "sign-method" => files.method = value.to_owned(),
                "priv-key" => files.private = file(),
                "pub-key" => files.public = file(),
                "ttl" if value.is_empty() => {}
                "ttl" => {
                    let ttl = duration::parse(value).filter(|ttl| !ttl.is_zero());
                    let ttl = ttl.ok_or_else(|| format!("ttl={value} is not a duration like 5m"))?;
                    files.ttl = Some(ttl);
                }
                _ => {
                    return Err(format!(
                        "{name} is none of sign-method, pub-key, priv-key and ttl"
                    ));
                }
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<TokenKind, String> {
        let read = |path: &str| match path {
            "secret" => Ok(b"secret".to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        AuthToken::parse(text)?.load(Duration::from_secs(7), read)
    }

    #[track_caller]
    fn complaint(text: &str, wanted: &str) {
        let error = load(text).expect_err(text);
        assert!(error.contains(wanted), "{text}: {error}");
    }

    /// Rows B6.5, B6.6 and B11.4.
    #[test]
    fn as_etcd_writes_it() {
        assert!(matches!(load("simple"), Ok(TokenKind::Simple { ttl }) if ttl.as_secs() == 7));
        let shown = |text: &str| format!("{:?}", load(text).expect(text));
        let jwt = shown("jwt,sign-method=HS256,priv-key=secret");
        assert!(
            jwt.contains("HS256") && jwt.contains("300s") && !jwt.contains("secret"),
            "{jwt}"
        );
        assert!(shown("jwt,priv-key=secret,ttl=90s,sign-method=HS512,pub-key=").contains("90s"));
    }

    #[test]
    fn what_cannot_be() {
        complaint("", "allowed are simple and jwt");
        complaint("nop", "allowed are simple and jwt");
        complaint("simple,ttl=5m", "simple takes no options");
        complaint("jwt", "sign-method must be one of");
        complaint("jwt,sign-method=none", "sign-method must be one of");
        complaint("jwt,sign-method=HS256", "a key is missing");
        complaint("jwt,sign-method=HS256,priv-key=gone", "gone cannot be read");
        complaint("jwt,sign-method=RS256,priv-key=secret", "priv-key is no key");
        complaint("jwt,sign-method", "is not OPTION=VALUE");
        complaint("jwt,sign-method=HS256,sign-method=HS256", "stands twice");
        complaint("jwt,ttl=soon", "is not a duration");
        complaint("jwt,ttl=0", "is not a duration");
        complaint("jwt,public-key=x", "public-key is none of");
    }
}
