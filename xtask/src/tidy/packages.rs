//! The dependency tree stays small: how many packages the workspace names itself (those of tests apart: they
//! are not in the product) and how many the lock file holds. It counts; which ones may enter is cargo deny's business.

use super::Problem;
use super::arrows::dependencies;
use super::checkout::Checkout;
use std::collections::BTreeSet;

/// Raised with decisions 0006 (from 25 and 250: passwords, signed tokens), 0008 (TLS) and 0013 (hyper, metrics, gzip).
const DIRECT_BELOW: usize = 45;
const LOCKED_BELOW: usize = 320;

/// Both counts are below their bounds.
pub fn check(checkout: &Checkout) -> Vec<Problem> {
    let mut problems = Vec::new();
    let names: BTreeSet<&str> = checkout
        .manifests()
        .flat_map(|(_, manifest)| dependencies(&manifest.text))
        .filter(|dependency| !dependency.is_dev)
        .map(|dependency| dependency.name)
        .filter(|name| !name.starts_with("almadia"))
        .collect();
    if names.len() >= DIRECT_BELOW {
        let list: Vec<&str> = names.iter().copied().collect();
        let message = format!(
            "{} direct dependencies, fewer than {DIRECT_BELOW} wanted: {}",
            names.len(),
            list.join(" ")
        );
        problems.push(Problem::new("Cargo.toml", 1, message));
    }
    let locked = checkout
        .text("Cargo.lock")
        .map_or(0, |lock| lock.matches("[[package]]").count());
    if locked >= LOCKED_BELOW {
        let message = format!(
            "{locked} packages, fewer than {LOCKED_BELOW} wanted: `cargo tree` shows who brings them"
        );
        problems.push(Problem::new("Cargo.lock", 1, message));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest_with(count: usize) -> String {
        let names: String = (0..count)
            .map(|number| format!("name{number}.workspace = true\n"))
            .collect();
        format!("[dependencies]\n{names}almadia-disk.workspace = true\n")
    }

    #[test]
    fn direct_dependencies_are_counted_once() {
        let few = manifest_with(DIRECT_BELOW - 1);
        assert_eq!(
            check(&Checkout::of(&[
                ("crates/a/Cargo.toml", &few),
                ("crates/b/Cargo.toml", &few)
            ])),
            []
        );
        let many = manifest_with(DIRECT_BELOW);
        assert_eq!(check(&Checkout::of(&[("crates/a/Cargo.toml", &many)])).len(), 1);
        let for_tests = many.replace("[dependencies]", "[dev-dependencies]");
        assert_eq!(check(&Checkout::of(&[("crates/a/Cargo.toml", &for_tests)])), []);
    }

    #[test]
    fn locked_packages_are_counted() {
        let lock = "[[package]]\nname = \"x\"\n".repeat(LOCKED_BELOW);
        assert_eq!(check(&Checkout::of(&[("Cargo.lock", &lock)])).len(), 1);
        assert_eq!(check(&Checkout::of(&[("Cargo.lock", &lock[12..])])), []);
    }
}
