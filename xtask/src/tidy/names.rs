//! One word per thing: names we declare avoid the words the glossary replaces and home-made abbreviations. Only
//! declarations are read, since names that come from libraries are not ours to choose.

use super::Problem;
use super::checkout::Checkout;
use super::text::{is_word, line_of, without_comments_and_literals};

/// A word inside a declared name, and what to say instead.
const REPLACED: &[(&str, &str)] = &[
    ("epoch", "term"),
    ("master", "leader"),
    ("slave", "follower"),
    ("replica", "member"),
    ("replicas", "members"),
    ("cfg", "config"),
    ("cnt", "count"),
    ("cmd", "command"),
    ("ctx", "context"),
    ("idx", "index"),
    ("mgr", "what it does"),
    ("msg", "message"),
    ("num", "count"),
    ("req", "request"),
    ("resp", "response"),
    ("tmp", "temporary, or what it holds"),
    ("util", "the mechanism"),
    ("utils", "the mechanism"),
];

const DECLARING: &[&str] = &[
    "fn", "struct", "enum", "trait", "type", "const", "static", "mod", "let",
];

/// Declared names hold no replaced word.
pub fn check(checkout: &Checkout) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in checkout.rust() {
        let code = without_comments_and_literals(&file.text);
        for (at, name) in declared(&code) {
            for word in words(name) {
                if let Some((_, instead)) = REPLACED.iter().find(|(replaced, _)| *replaced == word) {
                    let message =
                        format!("`{name}`: say {instead}, not {word} (glossary in CONTRIBUTING.md)");
                    problems.push(Problem::new(&file.path, line_of(&code, at), message));
                }
            }
        }
    }
    problems
}

/// Names after a declaring keyword, with their place.
fn declared(code: &str) -> Vec<(usize, &str)> {
    let tokens = identifiers(code);
    let mut found = Vec::new();
    for (position, (_, token)) in tokens.iter().enumerate() {
        if !DECLARING.contains(token) {
            continue;
        }
        let rest = tokens[position + 1..].iter().find(|(_, token)| *token != "mut");
        found.extend(rest.copied());
    }
    found
}

fn identifiers(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let bytes = code.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
        if length > 0 {
            found.push((at, &code[at..at + length]));
        }
        at += length + 1;
    }
    found
}

/// The words of a name in lower case: `MessageIndex`, `message_index` and `MESSAGE_INDEX` have the same.
fn words(name: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut after_lower = false;
    for letter in name.chars() {
        if letter == '_' || (letter.is_uppercase() && after_lower) {
            found.push(String::new());
        }
        if letter != '_' {
            found
                .last_mut()
                .expect("begun with one")
                .extend(letter.to_lowercase());
        }
        after_lower = letter.is_lowercase() || letter.is_ascii_digit();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_source(source: &str, lines: &[usize]) {
        let found: Vec<usize> = check(&Checkout::of(&[("a.rs", source)]))
            .iter()
            .map(|problem| problem.line)
            .collect();
        assert_eq!(found, lines, "{source}");
    }

    #[test]
    fn declared_names_use_the_glossary() {
        check_source("fn f() {\n    let mut last_idx = 1;\n}\n", &[2]);
        check_source(
            "struct MsgQueue;\nenum RaftEpoch {}\nconst REPLICA_COUNT: u8 = 3;\n",
            &[1, 2, 3],
        );
        check_source("mod utils;\n", &[1]);
    }

    #[test]
    fn other_peoples_names_and_similar_words_stay() {
        check_source(
            "fn f() { x.idx(); UNIX_EPOCH; let replicated = 1; let requested = 2; }\n",
            &[],
        );
        check_source("// let idx = 1;\nconst A: &str = \"idx\";\n", &[]);
    }
}
