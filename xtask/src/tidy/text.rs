//! Rust source with comments and literals blanked out, so that the other checks may count braces and look for words
//! without a parser. Lines and columns stay what they were; it never fails, whatever the text.

/// The same text, byte for byte as long, with every comment, string and character literal turned into spaces.
pub fn without_comments_and_literals(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment_end(bytes, at);
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Letters outside ASCII stand in comments and literals only; what is left of them elsewhere does not matter here.
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn literal_or_comment_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return block_comment_end(bytes, at);
    }
    if rest[0] == b'"' {
        return string_end(bytes, at + 1);
    }
    if rest[0] == b'\'' {
        return character_end(bytes, at);
    }
    let begins_word = at == 0 || !is_word(bytes[at - 1]);
    if begins_word {
        prefixed_string_end(bytes, at)
    } else {
        at
    }
}

/// The 1-based line of a byte.
pub fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

/// True for what an identifier is made of.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Block comments nest.
fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `'a'` and `'\n'` are literals, `'a` is a lifetime.
fn character_end(bytes: &[u8], start: usize) -> usize {
    let Some(first) = bytes.get(start + 1) else {
        return start;
    };
    if *first == b'\\' {
        let escaped = start + 3;
        let tail = bytes.get(escaped..).unwrap_or_default();
        return tail
            .iter()
            .position(|byte| *byte == b'\'')
            .map_or(bytes.len(), |length| escaped + length + 1);
    }
    let width = match first {
        0x00..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    let quote = start + 1 + width;
    if bytes.get(quote) == Some(&b'\'') {
        quote + 1
    } else {
        start
    }
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br#"…"#`, `c"…"`, `b'…'`.
fn prefixed_string_end(bytes: &[u8], start: usize) -> usize {
    let prefix = bytes[start..]
        .iter()
        .take(2)
        .take_while(|byte| matches!(byte, b'r' | b'b' | b'c'))
        .count();
    if prefix == 0 {
        return start;
    }
    let after = start + prefix;
    let raw = bytes[start..after].contains(&b'r');
    if raw {
        let hashes = bytes[after..].iter().take_while(|byte| **byte == b'#').count();
        if bytes.get(after + hashes) != Some(&b'"') {
            return start;
        }
        let closing: Vec<u8> = std::iter::once(b'"')
            .chain(std::iter::repeat_n(b'#', hashes))
            .collect();
        let body = after + hashes + 1;
        let length = bytes[body..]
            .windows(closing.len())
            .position(|window| window == closing);
        return length.map_or(bytes.len(), |length| body + length + closing.len());
    }
    match bytes.get(after) {
        Some(b'"') => string_end(bytes, after + 1),
        Some(b'\'') => character_end(bytes, after).max(start),
        _ => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &str) {
        assert_eq!(without_comments_and_literals(source), expected);
    }

    #[test]
    fn comments_and_literals_become_spaces() {
        check("a // {\nb", "a     \nb");
        check("a /* { /* } */ { */ b", "a                   b");
        check(r#"f("{\"}") }"#, r"f(      ) }");
        check("f('{', '\\'', '\\u{7d}') }", "f(   ,     ,         ) }");
        check("r#\"}\"\"# {", "        {");
        check("br\"{\" {", "      {");
        check("b\"{\" b'{' c\"}\" {", "               {");
        check("'é' {", "     {");
    }

    #[test]
    fn lifetimes_and_words_stay() {
        check(
            "fn f<'a>(x: &'a str) -> Bar<'_> { 'outer: loop {} }",
            "fn f<'a>(x: &'a str) -> Bar<'_> { 'outer: loop {} }",
        );
        check("let r#fn = bar; cbr(1)", "let r#fn = bar; cbr(1)");
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_text() {
        for source in ["\"abc", "'\\", "r##\"x\"#", "/* /* */", "b'", "'", "\"\\"] {
            assert_eq!(
                without_comments_and_literals(source).len(),
                source.len(),
                "{source}"
            );
        }
    }
}
