//! Panics inside the world: a task of a member that panics is a bug, whoever catches it.

use std::sync::{Mutex, Once, PoisonError};

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();

/// From now on panics are kept instead of being printed.
pub fn keep() {
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
            panics.push(info.to_string());
            if std::env::var_os("RUST_BACKTRACE").is_some() {
                eprintln!("{info}\n{}", std::backtrace::Backtrace::force_capture());
            }
        }));
    });
}

/// What has panicked since the last call.
pub fn take() -> Vec<String> {
    std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner))
}
