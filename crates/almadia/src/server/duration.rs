//! Durations as Go programs write them: `1h30m`, `1.5s`, `100ms`, `0`. Nothing else of Go's.

use std::time::Duration;

/// Longest first, since `ms` begins like `m`.
const UNITS: &[(&str, f64)] = &[
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("μs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// The duration a text means; none for anything Go would refuse, and for negative ones.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .filter(|length| *length > 0)?;
        let number: f64 = rest[..digits].parse().ok()?;
        let (unit, factor) = UNITS.iter().find(|(unit, _)| rest[digits..].starts_with(unit))?;
        seconds += number * factor;
        rest = &rest[digits + unit.len()..];
    }
    // Nanoseconds are what both sides count in; this keeps 0.1 s from becoming 99 999 999 ns.
    let nanoseconds = (seconds * 1e9).round();
    (!text.is_empty() && nanoseconds < u64::MAX as f64).then(|| Duration::from_nanos(nanoseconds as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, milliseconds: Option<u64>) {
        assert_eq!(parse(text), milliseconds.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        check("2h", Some(7_200_000));
        check("1h30m", Some(5_400_000));
        check("20s", Some(20_000));
        check("1.5s", Some(1500));
        check("100ms", Some(100));
        check("0", Some(0));
        check("0s", Some(0));
        for bad in [
            "",
            "5",
            "s",
            "-5s",
            "5 s",
            "5sec",
            "1..5s",
            "5s!",
            "999999999999999999h",
        ] {
            check(bad, None);
        }
    }
}
