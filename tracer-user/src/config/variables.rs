//! The environment as the agent reads it: empty = unset; a bad value is a warning and counts as
//! unset (OpenTelemetry, environment variable specification).

use std::collections::HashMap;
use std::ffi::OsString;
use std::time::Duration;

/// What a timeout of 0, "no limit", comes to: longer than any run, and still added to a clock
/// without overflow.
const NO_LIMIT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Variables, and what was found wrong with those that were asked for.
#[derive(Debug, Default)]
pub struct Variables {
    values: HashMap<String, String>,
    warnings: Vec<String>,
    /// Names that were asked for.
    #[cfg(test)]
    pub asked: std::rc::Rc<std::cell::RefCell<std::collections::BTreeSet<String>>>,
}

impl Variables {
    /// From pairs as [`std::env::vars_os`] gives them. Those that are not UTF-8 are none of ours.
    pub fn new(pairs: impl IntoIterator<Item = (OsString, OsString)>) -> Variables {
        let text = |text: OsString| text.into_string().ok();
        let pairs = pairs
            .into_iter()
            .filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        Variables {
            values: pairs.collect(),
            ..Variables::default()
        }
    }

    /// A variable's text without blanks around it.
    pub fn text(&self, name: &str) -> Option<String> {
        #[cfg(test)]
        self.asked.borrow_mut().insert(name.to_owned());
        let value = self.values.get(name)?.trim();
        Some(value.to_owned()).filter(|value| !value.is_empty())
    }

    /// A variable that `parse` understands. Its error says what would be right; the value itself is
    /// not repeated by this, as it may be a secret.
    pub fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(&self.text(name)?) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.warn(format!("{name}: {reason}; ignored"));
                None
            }
        }
    }

    /// A whole number of at least `least`.
    pub fn number(&mut self, name: &str, least: usize) -> Option<usize> {
        self.parsed(name, |text| match text.parse() {
            Ok(number) if number >= least => Ok(number),
            _ => Err(format!("'{text}' is not a whole number from {least} on")),
        })
    }

    /// Milliseconds.
    pub fn milliseconds(&mut self, name: &str) -> Option<Duration> {
        self.number(name, 0)
            .map(|number| Duration::from_millis(number as u64))
    }

    /// Milliseconds that something may take; 0 = as long as it likes.
    pub fn timeout(&mut self, name: &str) -> Option<Duration> {
        self.milliseconds(name)
            .map(|time| if time.is_zero() { NO_LIMIT } else { time })
    }

    /// `true` or `false`, in any case.
    pub fn switch(&mut self, name: &str) -> Option<bool> {
        self.parsed(name, |text| match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("'{text}' is neither true nor false")),
        })
    }

    /// Notes something wrong.
    pub fn warn(&mut self, line: String) {
        // What holds for several signals is asked for several times.
        if !self.warnings.contains(&line) {
            self.warnings.push(line);
        }
    }

    /// All that was found wrong, in the order it was asked for.
    pub fn warnings(self) -> Vec<String> {
        self.warnings
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Variables {
    fn from(pairs: [(&str, &str); N]) -> Variables {
        Variables::new(pairs.map(|(name, value)| (name.into(), value.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_unset() {
        let mut variables = Variables::from([("A", ""), ("B", "  "), ("C", " x ")]);
        assert_eq!(variables.text("A"), None);
        assert_eq!(variables.number("B", 0), None);
        assert_eq!(variables.text("C").as_deref(), Some("x"));
        assert!(variables.warnings().is_empty());
    }

    #[test]
    fn a_bad_value_warns_and_is_unset() {
        let mut variables = Variables::from([("N", "-1"), ("Z", "0"), ("S", "yes"), ("T", "TRUE")]);
        assert_eq!(variables.number("N", 0), None);
        assert_eq!(variables.number("Z", 1), None);
        assert_eq!(variables.switch("S"), None);
        assert_eq!(variables.switch("T"), Some(true));
        let warnings = variables.warnings();
        assert_eq!(warnings.len(), 3);
        assert_eq!(
            warnings[0],
            "N: '-1' is not a whole number from 0 on; ignored"
        );
    }

    #[test]
    fn a_timeout_of_nothing_is_none() {
        let mut variables = Variables::from([("T", "0"), ("U", "250")]);
        assert_eq!(variables.timeout("T"), Some(NO_LIMIT));
        assert_eq!(variables.timeout("U"), Some(Duration::from_millis(250)));
    }
}
