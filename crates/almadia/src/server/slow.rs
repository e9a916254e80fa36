//! From which time on a request counts as slow: our own setting, or what etcd's have to say about it.

use super::ConfigError;
use super::config::{checked_duration, written};
use super::values::Values;
use std::time::Duration;

/// The settings, ours first; of etcd's the one that means the same.
const NAMES: [&str; 3] = [
    "slow-request-threshold",
    "warning-unary-request-duration",
    "warning-apply-duration",
];

/// The threshold; `None`, for a 0, for none.
///
/// # Errors
/// A time that cannot be read, in one line.
pub fn threshold(values: &Values, default: Option<Duration>) -> Result<Option<Duration>, ConfigError> {
    let mut threshold = default;
    for name in NAMES.into_iter().rev() {
        let time = checked_duration(values, name, Duration::ZERO)?;
        if written(values, name).is_some() {
            threshold = Some(time).filter(|time| !time.is_zero());
        }
    }
    Ok(threshold)
}
