//! What standard output is: how wide, and whether it shows colours.

use std::io::IsTerminal;

/// Columns where nobody says how many there are.
const DEFAULT_WIDTH: usize = 120;

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
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let columns = || variable("COLUMNS")?.parse().ok().filter(|width| *width > 0);
        let stdout = std::io::stdout();
        if !stdout.is_terminal() {
            let columns = columns();
            return Terminal {
                width: columns.unwrap_or(DEFAULT_WIDTH),
                cut: columns.is_some(),
                watched: false,
                colour: false,
            };
        }
        let window = terminal_size::terminal_size_of(stdout)
            .map(|(terminal_size::Width(width), _)| usize::from(width))
            .filter(|width| *width > 0);
        Terminal {
            width: window.or_else(columns).unwrap_or(80),
            cut: true,
            watched: true,
            // no-color.org; and a terminal that says it has none.
            colour: variable("NO_COLOR").is_none()
                && variable("TERM").is_none_or(|term| term != "dumb"),
        }
    }
}
