//! Documents keep their word as far as a program can see: links lead somewhere, and the README's two commands are there
//! and are what continuous integration runs. It never fetches anything.

use super::Problem;
use super::checkout::Checkout;

const DEMO: &str = "cargo run --release -- demo";
const TEST: &str = "cargo test --workspace";

const WANTED: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE",
    "deny.toml",
    ".ci/run",
];

/// Wanted files exist, commands stand where they are promised, relative links resolve.
pub fn check(checkout: &Checkout) -> Vec<Problem> {
    let mut problems: Vec<Problem> = WANTED
        .iter()
        .filter(|path| !checkout.exists(path))
        .map(|path| Problem::new(path, 1, "this file is missing"))
        .collect();
    for (path, command) in [
        ("README.md", DEMO),
        ("README.md", TEST),
        (".ci/run", DEMO),
        (".ci/run", TEST),
    ] {
        if checkout.text(path).is_some_and(|text| !text.contains(command)) {
            problems.push(Problem::new(
                path,
                1,
                format!("`{command}` must stand here, word for word"),
            ));
        }
    }
    for file in checkout.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in links(&file.text) {
            let path = resolve(&file.path, target);
            if !path.as_ref().is_some_and(|path| checkout.exists(path)) {
                problems.push(Problem::new(
                    &file.path,
                    line,
                    format!("the link to {target} leads nowhere"),
                ));
            }
        }
    }
    problems
}

/// Relative link targets outside of code fences, without their anchors.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            let target = rest.split([')', ' ', '#']).next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !elsewhere {
                found.push((number + 1, target));
            }
        }
    }
    found
}

/// The path a link in `from` means, from the checkout's top; none when it leaves the checkout.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        parts.clear();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A checkout with all wanted files and one document more.
    fn with(path: &str, text: &str) -> Checkout {
        let both = format!("{DEMO}\n{TEST}\n");
        let mut files: Vec<(&str, &str)> = WANTED.iter().map(|wanted| (*wanted, both.as_str())).collect();
        files.push((path, text));
        Checkout::of(&files)
    }

    #[test]
    fn links_must_lead_somewhere() {
        assert_eq!(check(&with("docs/a.md", "see [b](b.md)\n"))[0].line, 1);
        assert_eq!(
            check(&with(
                "docs/a.md",
                "see [top](../README.md#five) and [dir](../docs), [self](#x)\n"
            )),
            []
        );
        assert_eq!(check(&with("docs/a.md", "[out](../../x) [a](a.md)\n")).len(), 1);
        assert_eq!(
            check(&with(
                "docs/a.md",
                "[web](https://example.org/x)\n```\n[code](nothing)\n```\n"
            )),
            []
        );
    }

    #[test]
    fn the_two_commands_stand_where_promised() {
        for path in ["README.md", ".ci/run"] {
            let mut checkout = with("a", "");
            let file = checkout
                .files
                .iter_mut()
                .find(|file| file.path == path)
                .expect("wanted");
            file.text = format!("{DEMO}\ncargo test\n");
            assert_eq!(check(&checkout).len(), 1, "{path}");
        }
    }

    #[test]
    fn wanted_files_exist() {
        let mut checkout = with("a", "");
        checkout.files.retain(|file| file.path != "SECURITY.md");
        assert_eq!(
            check(&checkout),
            [Problem::new("SECURITY.md", 1, "this file is missing")]
        );
    }
}
