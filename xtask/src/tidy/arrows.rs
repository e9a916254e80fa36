//! Arrows between crates point down only. The table here is the law that ARCHITECTURE.md explains; it reads manifests and
//! never asks cargo.

use super::Problem;
use super::checkout::Checkout;
use super::text::is_word;

/// What each crate may import of ours. A crate that is not here may not exist.
const GRANTED: &[(&str, &[&str])] = &[
    ("almadia-command", &[]),
    ("almadia-disk", &[]),
    ("almadia-wal", &["almadia-command", "almadia-disk"]),
    ("almadia-store", &["almadia-command", "almadia-disk"]),
    (
        "almadia-consensus",
        &["almadia-command", "almadia-disk", "almadia-wal", "almadia-store"],
    ),
    (
        "almadia-member",
        &[
            "almadia-command",
            "almadia-disk",
            "almadia-wal",
            "almadia-store",
            "almadia-consensus",
        ],
    ),
    (
        "almadia-server",
        &[
            "almadia-command",
            "almadia-disk",
            "almadia-wal",
            "almadia-store",
            "almadia-consensus",
            "almadia-member",
        ],
    ),
    (
        "almadia-etcd",
        &["almadia-command", "almadia-store", "almadia-member"],
    ),
    (
        "almadia-sim",
        &[
            "almadia-command",
            "almadia-disk",
            "almadia-wal",
            "almadia-store",
            "almadia-consensus",
            "almadia-member",
            "almadia-etcd",
        ],
    ),
    (
        "almadia",
        &[
            "almadia-command",
            "almadia-disk",
            "almadia-store",
            "almadia-member",
            "almadia-server",
            "almadia-etcd",
        ],
    ),
    ("xtask", &[]),
];

/// What the tests of a crate may import besides: worlds in memory for what the crate itself must not touch.
const GRANTED_TO_TESTS: &[(&str, &[&str])] = &[
    ("almadia-etcd", &["almadia-consensus", "almadia-disk"]),
    ("almadia", &["almadia-sim"]),
];

/// Libraries that only some crates may name, with the reason.
const RESERVED: &[(&str, &[&str], &str)] = &[
    (
        "openraft",
        &["almadia-consensus"],
        "only almadia-consensus names openraft, so that it can be replaced",
    ),
    ("tonic", &["almadia-etcd", "almadia"], "gRPC belongs to the edge"),
    ("clap", &["almadia"], "flags belong to the program"),
    (
        "rustix",
        &["almadia-disk", "almadia-server", "almadia"],
        "system calls belong to the disk and the body",
    ),
];

/// Every dependency of every package is granted.
pub fn check(checkout: &Checkout) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (directory, manifest) in checkout.manifests() {
        let package = directory.rsplit('/').next().unwrap_or(directory);
        let Some((_, granted)) = GRANTED.iter().find(|(name, _)| *name == package) else {
            let message =
                format!("give {package} its row in xtask/src/tidy/arrows.rs and in ARCHITECTURE.md");
            problems.push(Problem::new(&manifest.path, 1, message));
            continue;
        };
        for dependency in dependencies(&manifest.text) {
            let of_tests = GRANTED_TO_TESTS.iter().find(|(name, _)| *name == package);
            if dependency.is_dev && of_tests.is_some_and(|(_, more)| more.contains(&dependency.name)) {
                continue;
            }
            if let Some(reason) = refusal(package, granted, dependency.name) {
                problems.push(Problem::new(&manifest.path, dependency.line, reason));
            }
        }
    }
    problems
}

/// Why a package may not import this, if so.
fn refusal(package: &str, granted: &[&str], dependency: &str) -> Option<String> {
    if dependency.starts_with("almadia") && !granted.contains(&dependency) {
        return Some(format!(
            "{package} may not import {dependency}: arrows point down only (xtask/src/tidy/arrows.rs)"
        ));
    }
    let (_, _, reason) = RESERVED
        .iter()
        .find(|(name, users, _)| *name == dependency && !users.contains(&package))?;
    Some(format!("{package} may not import {dependency}: {reason}"))
}

/// One line of a dependency table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency<'a> {
    /// 1-based.
    pub line: usize,
    /// The package's name in the manifest.
    pub name: &'a str,
    /// Only for tests, examples and benchmarks.
    pub is_dev: bool,
}

/// Names in all dependency tables of a manifest, each with its line: ordinary, dev, build and per target.
pub fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut is_dev = false;
    for (number, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section.ends_with("dependencies");
            is_dev = section.contains("dev-dependencies");
            // [dependencies.name] is a table of its own.
            if let Some((table, name)) = section.rsplit_once('.')
                && table.ends_with("dependencies")
            {
                found.push(Dependency {
                    line: number + 1,
                    name,
                    is_dev,
                });
            }
            continue;
        }
        let length = line
            .bytes()
            .take_while(|byte| is_word(*byte) || *byte == b'-')
            .count();
        if inside && length > 0 && line[length..].trim_start().starts_with(['.', '=']) {
            found.push(Dependency {
                line: number + 1,
                name: &line[..length],
                is_dev,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn complaints(path: &str, manifest: &str) -> Vec<usize> {
        check(&Checkout::of(&[(path, manifest)]))
            .iter()
            .map(|problem| problem.line)
            .collect()
    }

    #[test]
    fn arrows_point_down() {
        let wal = "crates/almadia-wal/Cargo.toml";
        assert_eq!(
            complaints(wal, "[dependencies]\nalmadia-disk.workspace = true\n"),
            []
        );
        assert_eq!(
            complaints(wal, "[dependencies]\nalmadia-store.workspace = true\n"),
            [2],
            "sideways"
        );
        assert_eq!(
            complaints(wal, "[dev-dependencies]\nalmadia-member = { path = \"../x\" }\n"),
            [2],
            "upwards in tests"
        );
        assert_eq!(
            complaints(wal, "[build-dependencies.almadia-etcd]\nworkspace = true\n"),
            [1]
        );
        assert_eq!(
            complaints(
                wal,
                "[target.'cfg(unix)'.dependencies]\nalmadia-etcd.workspace = true\n"
            ),
            [2]
        );
    }

    #[test]
    fn a_crate_needs_a_row() {
        assert_eq!(complaints("crates/almadia-extra/Cargo.toml", "[package]\n"), [1]);
        assert_eq!(complaints("xtask/Cargo.toml", "[package]\n"), []);
    }

    #[test]
    fn reserved_libraries_stay_where_they_belong() {
        assert_eq!(
            complaints(
                "crates/almadia-member/Cargo.toml",
                "[dependencies]\nopenraft.workspace = true\n"
            ),
            [2]
        );
        assert_eq!(
            complaints(
                "crates/almadia-consensus/Cargo.toml",
                "[dependencies]\nopenraft.workspace = true\n"
            ),
            []
        );
    }

    #[test]
    fn only_dependency_tables_are_read() {
        let manifest = "[package]\nname = \"almadia-store\"\nalmadia-etcd = 1\n[features]\nalmadia-etcd = []\n# almadia-etcd = 1\n";
        assert_eq!(dependencies(manifest), []);
    }

    #[test]
    fn every_row_grants_only_rows_above_it_in_the_table() {
        for (position, (name, granted)) in GRANTED.iter().enumerate() {
            for other in *granted {
                let below = GRANTED[..position].iter().any(|(earlier, _)| earlier == other);
                assert!(below, "{name} is granted {other}, which is not below it");
            }
        }
    }
}
