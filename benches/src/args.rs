//! The options that all measurements share.

use std::path::PathBuf;

use crate::Result;

/// `--runs N --json FILE --plot FILE.svg --host-memory SIZE --only TEXT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Rounds; rows with a stride take part in fewer. Default 500.
    pub runs: usize,
    /// Where to write the table as JSON.
    pub json: Option<PathBuf>,
    /// Where to write the picture.
    pub plot: Option<PathBuf>,
    /// Bytes of touched memory in a second host program. Off by default.
    pub host_memory: Option<usize>,
    /// Measure only the rows whose name contains this, and the floors. All by default.
    pub only: String,
}

impl Options {
    /// Reads the words after the subcommand.
    ///
    /// # Errors
    ///
    /// An unknown word, or a value that is missing or isn't of its form.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options =
            Self { runs: 500, json: None, plot: None, host_memory: None, only: String::new() };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} takes a value"));
            match word.as_str() {
                "--runs" => {
                    let value = value()?;
                    options.runs = value.parse().map_err(|e| format!("--runs {value}: {e}"))?;
                }
                "--json" => options.json = Some(value()?.into()),
                "--plot" => options.plot = Some(value()?.into()),
                "--host-memory" => options.host_memory = Some(parse_size(&value()?)?),
                "--only" => options.only = value()?,
                _ => return Err(format!("unknown option {word}").into()),
            }
        }
        if options.runs == 0 {
            return Err("--runs 0: measures nothing".into());
        }
        Ok(options)
    }
}

/// A number of bytes: `4GiB`, `512MiB`, `64KiB` or plain digits.
///
/// # Errors
///
/// Anything else, and what doesn't fit.
pub fn parse_size(text: &str) -> Result<usize> {
    let (digits, shift) = [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .unwrap_or((text, 0));
    let number: usize =
        digits.parse().map_err(|_| format!("{text:?} is not a size such as 4GiB or 512MiB"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is too large").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("4GiB").unwrap(), 4 << 30);
        assert_eq!(parse_size("17").unwrap(), 17);
        for bad in ["", "GiB", "4G", "-1MiB", "99999999999GiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn options() {
        let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let options = Options::parse(words("--runs 7 --json a.json --host-memory 1GiB")).unwrap();
        assert_eq!((options.runs, options.host_memory), (7, Some(1 << 30)));
        for bad in ["--runs", "--runs x", "--runs 0", "--frob", "--host-memory 4G"] {
            assert!(Options::parse(words(bad)).is_err(), "{bad}");
        }
    }
}
