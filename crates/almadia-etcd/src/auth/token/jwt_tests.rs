//! Row B6.6: JSON Web Tokens of every method, and what makes one not hold. The keys were made for these tests and open nothing.

use super::jwt::{Jwt, JwtError};
use super::{Claims, TokenKind, Tokens};
use crate::auth::base64;
use crate::error::Fault;
use almadia_command::{
    Actor, AuthChange, AuthChangeKind, AuthEnable, Command, Kind, LogIndex, Term, UserAdd,
    UserChangePassword, UserRole,
};
use almadia_store::{AuthRefusal, AuthTable, Store};
use aws_lc_rs::hmac;
use serde_json::json;
use std::time::Duration;

macro_rules! key {
    ($name:literal) => {
        include_bytes!(concat!("test_keys/", $name)) as &[u8]
    };
}

const TTL: Duration = Duration::from_secs(60);

const PAIRS: [(&str, &[u8], &[u8]); 12] = [
    ("RS256", key!("rsa.pem"), key!("rsa.pub")),
    ("RS384", key!("rsa.pem"), key!("rsa.pub")),
    ("RS512", key!("rsa.pem"), key!("rsa.pub")),
    ("PS256", key!("rsa.pem"), key!("rsa.pub")),
    ("PS384", key!("rsa.pem"), key!("rsa.pub")),
    ("PS512", key!("rsa.pem"), key!("rsa.pub")),
    ("ES256", key!("ec256.pem"), key!("ec256.pub")),
    ("ES384", key!("ec384.pem"), key!("ec384.pub")),
    ("ES512", key!("ec521.pem"), key!("ec521.pub")),
    // The older forms of private keys, as openssl's commands of that time write them.
    ("ES256", key!("ec256-sec1.pem"), key!("ec256.pub")),
    ("RS256", key!("rsa-pkcs1.pem"), key!("rsa.pub")),
    ("EdDSA", key!("ed.pem"), key!("ed.pub")),
];

fn claims() -> Claims {
    Claims {
        user: "ann".to_owned(),
        revision: 7,
        until_ms: Some(60_000),
    }
}

/// Signed by one member, checked by one that has the same key, and by one that has only the public half.
#[test]
fn every_method() {
    for (method, private, public) in PAIRS {
        let both = Jwt::new(method, Some(private), Some(public), TTL).unwrap();
        let signs = Jwt::new(method, Some(private), None, TTL).unwrap();
        let checks = Jwt::new(method, None, Some(public), TTL).unwrap();
        for signer in [&both, &signs] {
            let token = signer.seal(&claims()).unwrap();
            for checker in [&both, &signs, &checks] {
                assert_eq!(checker.open(&token, 59_999), Some(claims()), "{method}");
                assert_eq!(checker.open(&token, 60_000), None, "{method}: its time is over");
                assert_eq!(checker.open(&token[..token.len() - 3], 0), None, "{method}");
            }
        }
        assert_eq!(
            checks.seal(&claims()),
            None,
            "{method}: a public key signs nothing"
        );
    }
    for method in ["HS256", "HS384", "HS512"] {
        let one = Jwt::new(method, Some(b"secret"), None, TTL).unwrap();
        let other = Jwt::new(method, Some(b"another"), None, TTL).unwrap();
        let token = one.seal(&claims()).unwrap();
        assert_eq!(one.open(&token, 0), Some(claims()));
        assert_eq!(other.open(&token, 0), None);
    }
}

#[test]
fn keys_that_cannot_be_used() {
    let new = |method, private, public| Jwt::new(method, private, public, TTL).map(|_| ());
    let ec = (Some(key!("ec256.pem")), Some(key!("ec256.pub")));
    for method in ["", "none", "hs256", "HS1", "ES1024"] {
        assert_eq!(new(method, ec.0, ec.1), Err(JwtError::Method), "{method}");
    }
    assert_eq!(new("ES256", None, None), Err(JwtError::MissingKey));
    assert_eq!(new("HS256", None, Some(b"secret")), Err(JwtError::MissingKey));
    assert_eq!(new("HS256", Some(b""), None), Err(JwtError::MissingKey));
    assert_eq!(
        new("ES256", ec.0, Some(key!("ec256b.pub"))),
        Err(JwtError::Mismatch)
    );
    for (method, private, public) in [
        ("RS256", ec.0, None),
        ("ES384", ec.0, None),
        ("EdDSA", ec.0, None),
        ("ES256", Some(&b"no key"[..]), None),
        ("ES256", ec.1, None),
        ("ES256", None, Some(key!("rsa.pub"))),
    ] {
        let refused = new(method, private, public);
        assert!(matches!(refused, Err(JwtError::Key(_))), "{method}: {refused:?}");
    }
}

/// What other signers may write, and what nobody may get by with.
#[test]
fn claims_of_other_signers() {
    let jwt = Jwt::new("HS256", Some(b"secret"), None, TTL).unwrap();
    let sign = |body: &serde_json::Value, method: &str, secret: &[u8]| {
        let part = |value: &serde_json::Value| base64::encode_url(value.to_string().as_bytes());
        let message = format!("{}.{}", part(&json!({"alg": method})), part(body));
        let code = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        format!("{message}.{}", base64::encode_url(code.as_ref()))
    };
    let open = |body: serde_json::Value| jwt.open(&sign(&body, "HS256", b"secret"), 10_000);
    let full = json!({"username": "ann", "revision": 7.0, "exp": 60, "aud": "x", "iss": 5, "more": {}});
    assert_eq!(open(full.clone()), Some(claims()));
    let for_ever = open(json!({"username": "ann", "revision": 7}));
    assert_eq!(for_ever.map(|claims| claims.until_ms), Some(None));
    for body in [
        json!({"revision": 7, "exp": 60}),
        json!({"username": "ann", "exp": 60}),
        json!({"username": 5, "revision": 7, "exp": 60}),
        json!({"username": "ann", "revision": "7", "exp": 60}),
        json!({"username": "ann", "revision": -7, "exp": 60}),
        json!({"username": "ann", "revision": 7, "exp": 9}),
        json!({"username": "ann", "revision": 7, "exp": "60"}),
        json!({"username": "ann", "revision": 7, "exp": -1}),
        json!({"username": "ann", "revision": 7, "exp": 60, "nbf": 11}),
        json!([]),
    ] {
        assert_eq!(open(body.clone()), None, "{body}");
    }
    // Another method or secret, no signature, and the oldest trick: the public key as the secret.
    assert_eq!(jwt.open(&sign(&full, "HS384", b"secret"), 0), None);
    assert_eq!(jwt.open(&sign(&full, "HS256", b"another"), 0), None);
    let unsigned = "eyJhbGciOiJub25lIn0.eyJ1c2VybmFtZSI6ImFubiIsInJldmlzaW9uIjo3fQ.";
    assert_eq!(jwt.open(unsigned, 0), None);
    let public = Jwt::new("RS256", None, Some(key!("rsa.pub")), TTL).unwrap();
    assert_eq!(public.open(&sign(&full, "HS256", key!("rsa.pub")), 0), None);
    for garbage in ["", ".", "..", "a.b.c", "e30.e30.", "ü.ü.ü"] {
        assert_eq!(jwt.open(garbage, 0), None, "{garbage}");
    }
}

/// Users and roles with root and ann, as the log makes them.
struct Users {
    store: Store,
    index: u64,
}

impl Users {
    fn new() -> Self {
        let mut users = Self {
            store: Store::empty(),
            index: 0,
        };
        for name in ["root", "ann"] {
            users.apply(AuthChangeKind::UserAdd(UserAdd {
                name: name.to_owned(),
                ..UserAdd::default()
            }));
        }
        let role = UserRole {
            user: "root".to_owned(),
            role: "root".to_owned(),
        };
        users.apply(AuthChangeKind::UserGrantRole(role));
        users.apply(AuthChangeKind::Enable(AuthEnable {
            token_secret: "secret".into(),
        }));
        users
    }

    fn apply(&mut self, kind: AuthChangeKind) {
        self.index += 1;
        let command = Command {
            kind: Some(Kind::Auth(AuthChange { kind: Some(kind) })),
            actor: Some(Actor::internal()),
        };
        let outcome = self.store.apply(LogIndex(self.index), Term(1), &command);
        outcome.result.unwrap();
        self.store.publish();
    }

    fn change_password(&mut self, name: &str) {
        self.apply(AuthChangeKind::UserChangePassword(UserChangePassword {
            name: name.to_owned(),
            ..UserChangePassword::default()
        }));
    }

    fn auth(&self) -> AuthTable {
        self.store.views().load().auth().clone()
    }
}

/// Rows B6.5, B6.6 and B6.8: what a change of users and roles makes of a token of either kind.
#[test]
fn tokens_and_the_revision() {
    let jwt = Jwt::new("EdDSA", Some(key!("ed.pem")), None, TTL).unwrap();
    let (simple, jwt) = (
        Tokens::new(TokenKind::Simple { ttl: TTL }),
        Tokens::new(TokenKind::Jwt(jwt)),
    );
    let mut users = Users::new();
    let before = users.auth();
    let tokens = [&simple, &jwt].map(|tokens| tokens.issue(&before, "ann", 0).unwrap());
    let seen = |users: &Users| {
        let auth = users.auth();
        let verify = |tokens: &Tokens, token: &str| {
            tokens
                .verify(&auth, token, 1)
                .map(|actor| (actor.user, actor.auth_revision))
        };
        [verify(&simple, &tokens[0]), verify(&jwt, &tokens[1])]
    };
    let ann = |revision| Ok(("ann".to_owned(), revision));
    let old = Err(Fault::Auth(AuthRefusal::OldRevision));
    assert_eq!(seen(&users), [ann(4), ann(4)]);
    users.change_password("root");
    assert_eq!(
        seen(&users),
        [ann(5), ann(4)],
        "one speaks for now, the other for then"
    );
    users.change_password("ann");
    assert_eq!(seen(&users), [Err(Fault::InvalidToken), old.clone()]);
    // A member that lags behind the one that gave the token out.
    for tokens in [&simple, &jwt] {
        let token = tokens.issue(&users.auth(), "ann", 0).unwrap();
        assert_eq!(
            tokens.verify(&before, &token, 1),
            Err(Fault::Auth(AuthRefusal::OldRevision))
        );
        assert!(tokens.verify(&users.auth(), &token, 1).is_ok());
    }
    let public = Jwt::new("EdDSA", None, Some(key!("ed.pub")), TTL).unwrap();
    let refused = Tokens::new(TokenKind::Jwt(public)).issue(&before, "ann", 0);
    assert_eq!(refused, Err(Fault::VerifyOnly));
}

/// Row B6.5: a token in use goes on, on the member where it is used; one that is not ends, and stays so.
#[test]
fn use_renews_simple_tokens() {
    let users = Users::new();
    let (here, there) = (
        Tokens::new(TokenKind::Simple { ttl: TTL }),
        Tokens::new(TokenKind::Simple { ttl: TTL }),
    );
    let token = here.issue(&users.auth(), "ann", 0).unwrap();
    for minute in 0..10 {
        assert!(
            here.verify(&users.auth(), &token, minute * 59_000).is_ok(),
            "{minute}"
        );
    }
    assert_eq!(
        there.verify(&users.auth(), &token, 60_000),
        Err(Fault::InvalidToken)
    );
    assert_eq!(
        here.verify(&users.auth(), &token, 700_000),
        Err(Fault::InvalidToken)
    );
    assert_eq!(
        here.verify(&users.auth(), &token, 59_000).map(|actor| actor.user),
        Ok("ann".to_owned())
    );
}
