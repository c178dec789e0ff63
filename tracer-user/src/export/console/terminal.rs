//! What standard output is: how wide, and whether it shows colours.

use std::io::IsTerminal;

/// Columns of a terminal that does not say how many it has.
const DEFAULT_WINDOW: usize = 80;

/// Columns that lines are laid out for in a file: enough for whole trace ids.
const DEFAULT_PAGE: usize = 120;

/// Properties of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terminal {
    /// Columns that lines are laid out for.
    pub width: usize,
    /// Whether a line must not be longer: elsewhere (a file, a pipe) nothing is cut.
    pub cut: bool,
    /// Whether someone looks at it: then a legend comes first.
    pub watched: bool,
    /// Whether colours are shown.
    pub colour: bool,
}

impl Terminal {
    /// As it is now: windows change their size.
    pub(super) fn now() -> Self {
        let stdout = std::io::stdout();
        let watched = stdout.is_terminal();
        let window = terminal_size::terminal_size_of(stdout)
            .map(|(terminal_size::Width(width), _)| usize::from(width));
        Terminal::of(watched, window, |name| std::env::var(name).ok())
    }

    fn of(watched: bool, window: Option<usize>, variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let columns = variable("COLUMNS").and_then(|columns| columns.parse().ok());
        let known = match watched {
            true => window.or(columns),
            false => columns,
        };
        let known = known.filter(|width| *width > 0);
        Terminal {
            width: known.unwrap_or(match watched {
                true => DEFAULT_WINDOW,
                false => DEFAULT_PAGE,
            }),
            cut: watched || known.is_some(),
            watched,
            // no-color.org; and a terminal that says it has none.
            colour: watched
                && variable("NO_COLOR").is_none()
                && variable("TERM").is_none_or(|term| term != "dumb"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(watched: bool, window: Option<usize>, variables: &[(&str, &str)]) -> Terminal {
        Terminal::of(watched, window, |name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn window_goes_before_columns() {
        assert_eq!(of(true, Some(90), &[("COLUMNS", "50")]).width, 90);
        assert_eq!(of(true, None, &[("COLUMNS", "50")]).width, 50);
        assert_eq!(of(true, Some(0), &[]).width, DEFAULT_WINDOW);
        assert!(of(true, None, &[]).cut);
    }

    #[test]
    fn nothing_is_cut_in_a_file_unless_asked() {
        let file = of(false, None, &[]);
        assert!(!file.cut && !file.colour && !file.watched);
        let asked = of(false, None, &[("COLUMNS", "50")]);
        assert!(asked.cut && asked.width == 50);
    }

    #[test]
    fn colours_can_be_declined() {
        assert!(of(true, Some(80), &[]).colour);
        assert!(
            of(true, Some(80), &[("NO_COLOR", "")]).colour,
            "empty is unset"
        );
        assert!(!of(true, Some(80), &[("NO_COLOR", "1")]).colour);
        assert!(!of(true, Some(80), &[("TERM", "dumb")]).colour);
    }
}
