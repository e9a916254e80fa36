//! The crates below almadia-server keep their list of banned calls. clippy holds the bans; this only sees to it that no
//! list is lost, since clippy falls back to the workspace's without a word.

use super::Problem;
use super::checkout::Checkout;

/// Banned in every crate that must run from a seed.
const EVERYWHERE: &[&str] = &[
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::sleep",
    "std::hash::RandomState",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::net::TcpStream",
];

/// Banned in those that reach files through a `Disk`.
const FILES: &[&str] = &[
    "std::fs::read",
    "std::fs::write",
    "std::fs::rename",
    "std::fs::File",
    "std::fs::OpenOptions",
];

/// The crates that must run from a seed, and whether files are banned there too.
const SEEDED: &[(&str, bool)] = &[
    ("almadia-command", true),
    ("almadia-disk", false),
    ("almadia-wal", true),
    ("almadia-store", true),
    ("almadia-consensus", true),
    ("almadia-member", true),
];

/// Each of these crates has its clippy.toml with all bans, each with a reason.
pub fn check(checkout: &Checkout) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, without_files) in SEEDED {
        if !checkout.exists(&format!("crates/{name}/Cargo.toml")) {
            continue;
        }
        let path = format!("crates/{name}/clippy.toml");
        let text = checkout.text(&path).unwrap_or_default();
        let files = if *without_files { FILES } else { &[] };
        for ban in EVERYWHERE.iter().chain(files) {
            if !text.contains(&format!("{{ path = \"{ban}\", reason = ")) {
                problems.push(Problem::new(
                    &path,
                    1,
                    format!("ban {ban} here, with a reason: {name} must run from a seed"),
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(bans: &[&str]) -> String {
        bans.iter()
            .map(|ban| format!("    {{ path = \"{ban}\", reason = \"r\" }},\n"))
            .collect()
    }

    #[test]
    fn a_lost_ban_is_found() {
        let manifest = ("crates/almadia-wal/Cargo.toml", "");
        let all = list(EVERYWHERE) + &list(FILES);
        assert_eq!(
            check(&Checkout::of(&[
                manifest,
                ("crates/almadia-wal/clippy.toml", &all)
            ])),
            []
        );
        let without_files = list(EVERYWHERE);
        let found = check(&Checkout::of(&[
            manifest,
            ("crates/almadia-wal/clippy.toml", &without_files),
        ]));
        assert_eq!(found.len(), FILES.len());
        assert_eq!(
            check(&Checkout::of(&[manifest])).len(),
            EVERYWHERE.len() + FILES.len()
        );
    }

    #[test]
    fn the_disk_may_touch_files() {
        let files = [
            ("crates/almadia-disk/Cargo.toml", ""),
            ("crates/almadia-disk/clippy.toml", &list(EVERYWHERE)),
        ];
        assert_eq!(check(&Checkout::of(&files)), []);
    }
}
