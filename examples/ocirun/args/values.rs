//! Values on the command line: signals, sizes, times, users.

use std::time::Duration;

use nix::sys::signal::Signal;

/// A signal by number, or by name with or without `SIG`.
pub(crate) fn signal(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=64).contains(&number) { Ok(number) } else { Err("no such signal".into()) };
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let (base, offset) = match name.split_once(['+', '-']) {
        Some((base, offset)) => (base, offset.parse::<i32>().map_err(|_| "no such signal")?),
        None => (name, 0),
    };
    match base {
        "RTMIN" if (0..=30).contains(&offset) => Ok(34 + offset),
        "RTMAX" if (0..=30).contains(&offset) => Ok(64 - offset),
        _ => format!("SIG{name}")
            .parse::<Signal>()
            .map(|signal| signal as i32)
            .map_err(|_| "no such signal".into()),
    }
}

/// Bytes, with a unit of 1024: `b`, `k`, `m`, `g`, `t`, `p`.
pub(super) fn bytes(text: &str) -> Result<i64, String> {
    if let Ok(number) = text.parse::<i64>() {
        return if number >= -1 { Ok(number) } else { Err("negative".into()) };
    }
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match &lower[number.len()..] {
        "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return Err("wanted a number of bytes, with or without a unit as in 512m".into()),
    };
    let number: i64 = number.trim().parse().map_err(|_| "not a whole number")?;
    if number < 0 {
        return Err("negative".into());
    }
    number.checked_mul(1 << (10 * power)).ok_or_else(|| "too large".into())
}

/// A time such as `5s`, `1m 30s` or `500ms`; not zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than zero".into()),
        other => other.map_err(|error| error.to_string()),
    }
}

/// `UID` or `UID:GID`.
pub(super) fn user(text: &str) -> Result<(u32, Option<u32>), String> {
    let number = |text: &str| {
        text.parse::<u32>()
            .ok()
            .filter(|id| *id != u32::MAX)
            .ok_or_else(|| format!("{text:?} is no id; names are not looked up"))
    };
    match text.split_once(':') {
        Some((uid, gid)) => Ok((number(uid)?, Some(number(gid)?))),
        None => Ok((number(text)?, None)),
    }
}

/// `NAME=VALUE`.
pub(super) fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("wanted NAME=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        for (text, number) in [
            ("9", 9),
            ("KILL", 9),
            ("SIGTERM", 15),
            ("sigusr1", 10),
            ("hup", 1),
            ("RTMIN+3", 37),
            ("SIGRTMAX", 64),
            ("0", 0),
        ] {
            assert_eq!(signal(text), Ok(number), "{text}");
        }
        for text in ["", "65", "-1", "SIG", "NOPE", "RTMIN+99", "9 "] {
            assert!(signal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_units_of_1024() {
        assert_eq!(bytes("512m"), Ok(512 << 20));
        assert_eq!(bytes("1GiB"), Ok(1 << 30));
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("-1"), Ok(-1));
        for text in ["", "m", "1x", "-5m", "9999999999p", "1.5.5m", "-2"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_sums() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "5", "s", "0s", "99999999999999999999h", "é"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn users_are_numbers() {
        assert_eq!(user("1000"), Ok((1000, None)));
        assert_eq!(user("1:2"), Ok((1, Some(2))));
        for text in ["", "root", "1:", ":1", "4294967295", "1:2:3"] {
            assert!(user(text).is_err(), "{text}");
        }
    }
}
