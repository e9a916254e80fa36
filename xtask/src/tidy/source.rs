//! Checks on single Rust files: the header, documented public items, lengths, nothing unfinished. Line based over text
//! without comments and literals; it knows no types.

use super::Problem;
use super::checkout::{Checkout, File};
use super::text::{is_word, line_of, without_comments_and_literals};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

/// The one file that may hold undocumented public items: generated code.
const GENERATED: &str = "crates/almadia-etcd/src/proto.rs";

const UNFINISHED: &[(&str, &str)] = &[
    ("todo!", "finish it, or open an issue and return an error"),
    (
        "unimplemented!",
        "finish it, or open an issue and return an error",
    ),
    (
        "#[ignore",
        "a test that does not run guards nothing: make it quick, or let an environment variable choose its length",
    ),
];

/// Every file says at its top what it is for.
pub fn check_headers(checkout: &Checkout) -> Vec<Problem> {
    let without = |file: &&File| !file.text.starts_with("//! ");
    let message = "begin the file with `//!`: what it is for and what it never does";
    checkout
        .rust()
        .filter(without)
        .map(|file| Problem::new(&file.path, 1, message))
        .collect()
}

/// No macro or attribute that postpones work.
pub fn check_unfinished(checkout: &Checkout) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in checkout.rust() {
        let code = without_comments_and_literals(&file.text);
        for (word, advice) in UNFINISHED {
            for (at, _) in code.match_indices(word) {
                problems.push(Problem::new(
                    &file.path,
                    line_of(&code, at),
                    format!("`{word}`: {advice}"),
                ));
            }
        }
    }
    problems
}

/// Files and functions end before they are lost from sight.
pub fn check_lengths(checkout: &Checkout) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in checkout.rust() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            let message = format!("{lines} lines, at most {FILE_LINES_MAX}: split it by mechanism");
            problems.push(Problem::new(&file.path, 1, message));
        }
        for function in functions(&without_comments_and_literals(&file.text)) {
            if function.lines > FUNCTION_LINES_MAX {
                let Function { name, lines, line } = function;
                let message = format!(
                    "fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}: give its parts names"
                );
                problems.push(Problem::new(&file.path, line, message));
            }
        }
    }
    problems
}

/// Public items have a doc comment, and nobody switches the compiler's own check off.
pub fn check_docs(checkout: &Checkout) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in checkout.rust() {
        let code = without_comments_and_literals(&file.text);
        if file.path != GENERATED {
            for (at, _) in code.match_indices("allow(missing_docs)") {
                let message = "document the items instead of allowing missing_docs";
                problems.push(Problem::new(&file.path, line_of(&code, at), message));
            }
        }
        if !is_test(&file.path) {
            problems.extend(undocumented(file, &code));
        }
    }
    for (directory, manifest) in checkout.manifests() {
        if !manifest.text.contains("[lints]\nworkspace = true") {
            let message = format!(
                "add `[lints]` with `workspace = true`, so that {directory} keeps the workspace's lints"
            );
            problems.push(Problem::new(&manifest.path, 1, message));
        }
    }
    problems
}

/// Files that only tests and their helpers live in: nothing there is public to anybody.
fn is_test(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs"))
}

/// Public items without a doc comment, up to the file's tests.
fn undocumented(file: &File, code: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut documented = false;
    let mut attribute_depth = 0;
    for (number, (line, code_line)) in file.text.lines().zip(code.lines()).enumerate() {
        let (line, code_line) = (line.trim_start(), code_line.trim());
        if code_line == "#[cfg(test)]" {
            break;
        }
        if line.starts_with("///") || line.starts_with("#[doc") || line.starts_with("*/") {
            documented = true;
            continue;
        }
        // Attributes stand between the comment and its item, on one line or on several.
        if attribute_depth > 0 || code_line.starts_with("#[") {
            attribute_depth += code_line.matches('[').count();
            attribute_depth -= code_line.matches(']').count().min(attribute_depth);
            continue;
        }
        if let Some(name) = public_item(code_line).filter(|_| !documented) {
            problems.push(Problem::new(
                &file.path,
                number + 1,
                format!("say in a `///` comment what `{name}` promises"),
            ));
        }
        documented = documented && code_line.is_empty();
    }
    problems
}

/// What a line makes public, if anything: `pub mod` is documented by its file's header, `pub use` where it was declared.
fn public_item(line: &str) -> Option<&str> {
    const QUALIFIERS: &[&str] = &["async", "const", "unsafe"];
    // Aliases are left to the compiler's own check: inside a crate the name they stand for says it all.
    const KINDS: &[&str] = &["struct", "enum", "trait", "const", "static"];
    let declaration = line.strip_prefix("pub ")?;
    let qualified = declaration
        .split(' ')
        .take_while(|word| QUALIFIERS.contains(word))
        .count();
    let mut words = declaration.split(' ');
    let name = match words.nth(qualified)? {
        "fn" => words.next()?,
        _ => {
            let mut words = declaration.split(' ');
            words.next().filter(|kind| KINDS.contains(kind))?;
            words.next()?
        }
    };
    // In a macro the name comes from its caller, and so does the comment.
    let name = name
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .next()?;
    (!name.is_empty()).then_some(name)
}

/// One function with a body.
struct Function {
    name: String,
    /// The line of `fn`, 1-based.
    line: usize,
    /// From `fn` to the closing brace.
    lines: usize,
}

/// The functions of code that has neither comments nor literals, inner ones too.
fn functions(code: &str) -> Vec<Function> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if at > 0 && is_word(bytes[at - 1]) {
            continue;
        }
        let name: String = code[at + 3..]
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect();
        let Some(open) = body_start(bytes, at).filter(|_| !name.is_empty()) else {
            continue;
        };
        let end = matching_brace(bytes, open);
        let (line, last) = (line_of(code, at), line_of(code, end));
        found.push(Function {
            name,
            line,
            lines: last - line + 1,
        });
    }
    found
}

/// The opening brace of the body of the function whose `fn` stands at `at`; none for a declaration.
fn body_start(bytes: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in bytes[at..].iter().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.checked_sub(1)?,
            b'{' if depth == 0 => return Some(at + offset),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn matching_brace(bytes: &[u8], open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in bytes[open..].iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset;
        }
    }
    bytes.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    type Check = fn(&Checkout) -> Vec<Problem>;

    /// Runs one check on one file and compares the lines it complains about.
    #[track_caller]
    fn check(check: Check, source: &str, lines: &[usize]) {
        let checkout = Checkout::of(&[("crates/x/src/a.rs", source)]);
        let found: Vec<usize> = check(&checkout).iter().map(|problem| problem.line).collect();
        assert_eq!(found, lines, "{source}");
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        check(check_headers, "//! What it is for.\nfn f() {}\n", &[]);
        check(check_headers, "// Not a header.\n", &[1]);
        check(check_headers, "use std::fmt;\n//! Late.\n", &[1]);
    }

    #[test]
    fn unfinished_work_is_found_in_code_only() {
        check(check_unfinished, "fn f() {\n    todo!()\n}\n", &[2]);
        check(check_unfinished, "fn f() { unimplemented!(\"later\") }\n", &[1]);
        check(
            check_unfinished,
            "#[test]\n#[ignore = \"slow\"]\nfn f() {}\n",
            &[2],
        );
        check(
            check_unfinished,
            "// todo!() is forbidden\nconst A: &str = \"todo!\";\n",
            &[],
        );
    }

    /// A function of `lines` lines, from `fn` to the brace.
    fn function_of(lines: usize) -> String {
        format!(
            "    fn long(\n        x: u8,\n    ) {{\n{}    }}\n",
            "        x();\n".repeat(lines - 4)
        )
    }

    #[test]
    fn long_functions_and_files_are_found() {
        check(check_lengths, &function_of(FUNCTION_LINES_MAX), &[]);
        check(
            check_lengths,
            &format!("impl A {{\n{}}}\n", function_of(FUNCTION_LINES_MAX + 1)),
            &[2],
        );
        check(check_lengths, &"const A: u8 = 1;\n".repeat(FILE_LINES_MAX), &[]);
        check(
            check_lengths,
            &"const A: u8 = 1;\n".repeat(FILE_LINES_MAX + 1),
            &[1],
        );
    }

    #[test]
    fn braces_in_literals_and_array_types_do_not_confuse_the_count() {
        let body = "        x('{', \"{\", r\"{\"); // {\n".repeat(FUNCTION_LINES_MAX - 2);
        check(
            check_lengths,
            &format!("fn f(x: [u8; 4]) -> [u8; 2] {{\n{body}}}\n"),
            &[],
        );
        let after = "const A: u8 = 1;\n".repeat(FUNCTION_LINES_MAX);
        check(
            check_lengths,
            &format!("trait T {{\n    fn f(x: [u8; 4]);\n}}\n{after}fn g() {{}}\n"),
            &[],
        );
    }

    #[test]
    fn public_items_need_a_comment() {
        check(
            check_docs,
            "/// Says what.\n#[derive(Debug)]\npub struct A;\n",
            &[],
        );
        check(check_docs, "#[derive(Debug)]\npub struct A;\n", &[2]);
        check(check_docs, "/// One.\npub fn a() {}\npub async fn b() {}\n", &[3]);
        check(
            check_docs,
            "impl A {\n    pub const fn a() {}\n    pub const B: u8 = 1;\n}\n",
            &[2, 3],
        );
        check(
            check_docs,
            "pub mod a;\npub use a::B;\npub(crate) fn c() {}\nstruct D {\n    pub e: u8,\n}\n",
            &[],
        );
        check(
            check_docs,
            "#[cfg(test)]\nmod tests {\n    pub fn a() {}\n}\n",
            &[],
        );
        check(
            check_docs,
            "/// Long.\n#[derive(\n    Debug,\n)]\npub struct A;\n",
            &[],
        );
    }

    #[test]
    fn nobody_switches_the_lints_off() {
        check(check_docs, "#![allow(missing_docs)]\n", &[1]);
        let generated = Checkout::of(&[(GENERATED, "//! x\n#![allow(missing_docs)]\n")]);
        assert_eq!(check_docs(&generated), []);
        let silent = Checkout::of(&[("crates/x/Cargo.toml", "[package]\nname = \"x\"\n")]);
        assert_eq!(check_docs(&silent).len(), 1);
        let loud = Checkout::of(&[(
            "crates/x/Cargo.toml",
            "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n",
        )]);
        assert_eq!(check_docs(&loud), []);
    }
}
