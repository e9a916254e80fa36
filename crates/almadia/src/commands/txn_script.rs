//! The script of a transaction, in etcdctl's syntax: compares, a blank line, operations if they all hold, a blank
//! line, operations if not.
//!
//! Operations are written as the commands put, get and del with their flags. Reads text only, never sends it.

use almadia_etcd::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use almadia_etcd::proto::etcdserverpb::request_op::Request;
use almadia_etcd::proto::etcdserverpb::{Compare, RequestOp, TxnRequest};
use clap::Parser;

use super::del::DelArguments;
use super::error::CommandError;
use super::get::GetArguments;
use super::put::{PutArguments, lease_id};

/// One operation as it is written in a script.
#[derive(Clone, Debug, Parser)]
#[command(
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
enum Operation {
    Put(PutArguments),
    Get(GetArguments),
    Del(DelArguments),
}

/// Reads a whole script.
pub fn parse(script: &str) -> Result<TxnRequest, CommandError> {
    let mut sections: Vec<Vec<(usize, &str)>> = vec![Vec::new()];
    for (at, line) in script.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() {
            sections
                .last_mut()
                .expect("there is always one")
                .push((at + 1, line));
        } else {
            sections.push(Vec::new());
        }
    }
    // Blank lines after the third section mean nothing.
    while sections.len() > 3 && sections.last().is_some_and(Vec::is_empty) {
        sections.pop();
    }
    if sections.len() > 3 {
        let line = sections[3..].iter().flatten().next().map_or(0, |line| line.0);
        return Err(at_line(
            line,
            "a transaction has three parts with a blank line between: compares, success, failure",
        ));
    }
    let section = |at: usize| sections.get(at).map(Vec::as_slice).unwrap_or_default();
    Ok(TxnRequest {
        compare: each(section(0), compare)?,
        success: each(section(1), operation)?,
        failure: each(section(2), operation)?,
    })
}

fn each<T>(
    lines: &[(usize, &str)],
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, CommandError> {
    lines
        .iter()
        .map(|(at, line)| read(line).map_err(|why| at_line(*at, &why)))
        .collect()
}

fn at_line(line: usize, why: &str) -> CommandError {
    CommandError::usage(format!("line {line} of the transaction: {why}"))
}

/// Reads `mod("key") > "7"`; quotes may be left out where there is nothing to quote.
fn compare(line: &str) -> Result<Compare, String> {
    let wrong = || {
        format!(
            "'{line}' is not a compare; write TARGET(\"KEY\") OP \"VALUE\", for example mod(\"color\") = \"7\""
        )
    };
    let (target, rest) = line.split_once('(').ok_or_else(wrong)?;
    let (key, rest) = quoted_until(rest, ')').ok_or_else(wrong)?;
    let rest = rest.trim_start();
    let (result, rest) = [
        ("!=", CompareResult::NotEqual),
        ("=", CompareResult::Equal),
        ("<", CompareResult::Less),
        (">", CompareResult::Greater),
    ]
    .into_iter()
    .find_map(|(sign, result)| Some((result, rest.strip_prefix(sign)?)))
    .ok_or_else(|| format!("'{line}' compares with something else than =, !=, < or >"))?;
    let words = words(rest).ok_or_else(wrong)?;
    let [value] = &words[..] else { return Err(wrong()) };
    let (target, union) = target_of(target.trim(), value)?;
    if key.is_empty() {
        return Err("a compare needs a key".to_owned());
    }
    Ok(Compare {
        result: result.into(),
        target: target.into(),
        key: key.into(),
        range_end: bytes::Bytes::new(),
        target_union: Some(union),
    })
}

fn target_of(name: &str, value: &str) -> Result<(CompareTarget, TargetUnion), String> {
    let number = || {
        value
            .parse::<i64>()
            .map_err(|_| format!("{name}() compares with a number, not '{value}'"))
    };
    Ok(match name {
        "value" | "val" => (CompareTarget::Value, TargetUnion::Value(value.to_owned().into())),
        "version" | "ver" => (CompareTarget::Version, TargetUnion::Version(number()?)),
        "create" | "c" => (CompareTarget::Create, TargetUnion::CreateRevision(number()?)),
        "mod" | "m" => (CompareTarget::Mod, TargetUnion::ModRevision(number()?)),
        "lease" => (CompareTarget::Lease, TargetUnion::Lease(lease_id(value)?)),
        other => {
            return Err(format!(
                "'{other}' cannot be compared; there are value, version, create, mod and lease"
            ));
        }
    })
}

/// The key in front of `end`, quoted or not, and what follows `end`.
fn quoted_until(text: &str, end: char) -> Option<(String, &str)> {
    let text = text.trim_start();
    if !text.starts_with('"') {
        let (key, rest) = text.split_once(end)?;
        return Some((key.trim().to_owned(), rest));
    }
    let (key, rest) = quoted(text)?;
    Some((key, rest.trim_start().strip_prefix(end)?))
}

fn operation(line: &str) -> Result<RequestOp, String> {
    let words = words(line).ok_or_else(|| format!("a quote is not closed in '{line}'"))?;
    let operation = Operation::try_parse_from(&words).map_err(|error| first_line(&error))?;
    let request = match &operation {
        Operation::Put(put) if put.value.as_deref() == Some("-") => {
            return Err("a value cannot come from standard input inside a transaction".to_owned());
        }
        Operation::Get(get) if get.stream => {
            return Err("nothing is streamed inside a transaction; leave --stream out".to_owned());
        }
        Operation::Put(put) => put.to_request().map(Request::RequestPut),
        Operation::Get(get) => get.to_request().map(Request::RequestRange),
        Operation::Del(del) => del.to_request().map(Request::RequestDeleteRange),
    };
    Ok(RequestOp {
        request: Some(request.map_err(|error| error.to_string())?),
    })
}

/// clap explains at length; the line's number and the first line are enough here.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    format!(
        "{}; write put, get or del as on the command line",
        line.strip_prefix("error: ").unwrap_or(line)
    )
}

/// Splits a line into words; double quotes with escapes, single quotes without. `None`: a quote is not closed.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' => quoted(rest)?,
            '\'' => rest[1..]
                .split_once('\'')
                .map(|(word, after)| (word.to_owned(), after))?,
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    Some(words)
}

/// A word in double quotes at the front of `text`, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((word, &text[at + 1..])),
            '\\' => word.push(match letters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                '0' => '\0',
                other => other,
            }),
            other => word.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(script: &str) -> String {
        parse(script).expect_err("wrong").to_string()
    }

    #[test]
    fn a_whole_script() {
        let script = "mod(\"color\") > \"0\"\nvalue(color) = 'red'\nlease(\"k\") != \"5b\"\n\n\
                      put color \"dark blue\" --lease 5b\nget color\n\ndel color\nput log \"say \\\"hi\\\"\"\n";
        let txn = parse(script).expect("valid");
        assert_eq!(txn.compare.len(), 3);
        assert_eq!(txn.compare[0].target_union, Some(TargetUnion::ModRevision(0)));
        assert_eq!(txn.compare[0].result, i32::from(CompareResult::Greater));
        assert_eq!(&txn.compare[1].key[..], b"color");
        assert_eq!(
            txn.compare[1].target_union,
            Some(TargetUnion::Value("red".into()))
        );
        assert_eq!(txn.compare[2].target_union, Some(TargetUnion::Lease(0x5b)));
        let Some(Request::RequestPut(put)) = &txn.success[0].request else {
            panic!("a put")
        };
        assert_eq!((&put.value[..], put.lease), (&b"dark blue"[..], 0x5b));
        let Some(Request::RequestPut(put)) = &txn.failure[1].request else {
            panic!("a put")
        };
        assert_eq!(&put.value[..], b"say \"hi\"");
    }

    #[test]
    fn parts_may_be_empty() {
        let txn = parse("\nput a 1\n").expect("valid");
        assert_eq!(
            (txn.compare.len(), txn.success.len(), txn.failure.len()),
            (0, 1, 0)
        );
        let txn = parse("version(\"a\") = \"0\"\n\n\nget a --prefix\n\n\n").expect("valid");
        assert_eq!(
            (txn.compare.len(), txn.success.len(), txn.failure.len()),
            (1, 0, 1)
        );
        assert_eq!(parse("").expect("valid"), TxnRequest::default());
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        assert!(error("mod(\"a\") ~ \"1\"").contains("line 1"));
        assert!(error("size(\"a\") = \"1\"").contains("'size' cannot be compared"));
        assert!(error("mod(\"a\") = \"x\"").contains("compares with a number"));
        assert!(error("\nput a \"1").contains("line 2 of the transaction: a quote is not closed"));
        assert!(error("\nput a\n").contains("line 2"));
        assert!(error("\n\nput a -\n").contains("standard input"));
        assert!(error("\n\nget a --prefix --stream\n").contains("leave --stream out"));
        assert!(error("\n\nwatch a\n").contains("put, get or del"));
        assert!(error("\n\ndel --prefix\n").contains("--all"));
        assert!(error("\n\nget a\n\nget b\n").contains("line 5"));
        assert!(error("mod(\"\") = \"1\"").contains("needs a key"));
    }

    proptest! {
        /// Promise: no script makes the reader panic.
        #[test]
        fn garbage_is_survived(script in "[a-z()\"'\\\\=<>! \n-]{0,80}") {
            let _ = parse(&script);
        }
    }
}
