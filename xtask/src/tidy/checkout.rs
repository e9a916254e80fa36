//! The files of this checkout as text, read once. It never follows what git ignores.

use std::path::Path;
use std::process::Command;

/// One file of the checkout.
pub struct File {
    /// Relative to the checkout's top, with `/`.
    pub path: String,
    pub text: String,
}

/// All files git knows or would add.
pub struct Checkout {
    pub files: Vec<File>,
}

impl Checkout {
    /// Reads the checkout this program was built in.
    pub fn load() -> Result<Self, String> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask lies in the checkout");
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(top)
            .output()
            .map_err(|error| format!("cannot run git ls-files: {error}"))?;
        if !listing.status.success() {
            return Err(format!(
                "git ls-files: {}",
                String::from_utf8_lossy(&listing.stderr)
            ));
        }
        let mut paths: Vec<&str> = listing
            .stdout
            .split(|byte| *byte == 0)
            .filter_map(|path| std::str::from_utf8(path).ok())
            .filter(|path| !path.is_empty())
            .collect();
        paths.sort_unstable();
        paths.dedup();
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            // Deleted but still in git's index: nothing to check.
            let Ok(bytes) = std::fs::read(top.join(path)) else {
                continue;
            };
            // What is no text (a picture) has nothing to check in it, but links may lead to it.
            let text = String::from_utf8(bytes).unwrap_or_default();
            files.push(File {
                path: path.to_owned(),
                text,
            });
        }
        Ok(Self { files })
    }

    /// The Rust files.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// The text of one file, if there is one of this name.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
    }

    /// The manifests of the workspace's packages, with the package's directory.
    pub fn manifests(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().filter_map(|file| {
            let directory = file.path.strip_suffix("/Cargo.toml")?;
            Some((directory, file))
        })
    }

    /// True for a file or a directory that holds one.
    pub fn exists(&self, path: &str) -> bool {
        let directory = format!("{path}/");
        path.is_empty()
            || self
                .files
                .iter()
                .any(|file| file.path == path || file.path.starts_with(&directory))
    }

    /// A checkout made up by a test.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self {
            files: files.iter().map(file).collect(),
        }
    }
}
