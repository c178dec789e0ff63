//! What came out: figures beside their goals, and what was not right.

use std::fmt::Display;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// None: shown for comparison.
    Shown,
}

struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    /// Digits after the point.
    digits: usize,
    goal: Goal,
}

/// Collects figures while they are measured.
#[derive(Default)]
pub struct Report {
    figures: Vec<Figure>,
    wrong: Vec<String>,
}

impl Goal {
    /// None if there is no goal. Not a number reaches none.
    fn reached(self, value: f64) -> Option<bool> {
        match self {
            Goal::AtLeast(goal) => Some(value >= goal),
            Goal::AtMost(goal) => Some(value <= goal),
            Goal::Shown => None,
        }
    }
}

impl Report {
    /// A ratio of rates.
    pub fn ratio(&mut self, what: impl Into<String>, value: f64, goal: Goal) {
        self.add(what.into(), value, "", 3, goal);
    }

    /// A quantity with its unit.
    pub fn figure(&mut self, what: impl Into<String>, value: f64, unit: &'static str, goal: Goal) {
        let digits = if value < 10.0 { 2 } else { 1 };
        self.add(what.into(), value, unit, digits, goal);
    }

    /// A number of things.
    pub fn count(&mut self, what: impl Into<String>, value: u64, goal: Goal) {
        self.add(what.into(), value as f64, "", 0, goal);
    }

    fn add(&mut self, what: String, value: f64, unit: &'static str, digits: usize, goal: Goal) {
        self.figures.push(Figure {
            what,
            value,
            unit,
            digits,
            goal,
        });
    }

    /// Shows what is being done now, for who waits.
    pub fn progress(&self, text: impl Display) {
        println!("{text}");
    }

    /// Something that is not as it must be, whatever the figures say.
    pub fn wrong(&mut self, what: String) {
        println!("  not right: {what}");
        self.wrong.push(what);
    }

    /// Prints the table; whether every goal is reached and nothing is wrong.
    pub fn print(&self) -> bool {
        println!("\n{}", self.table());
        if !self.wrong.is_empty() {
            println!("Not right:");
            for what in &self.wrong {
                println!("- {what}");
            }
        }
        self.wrong.is_empty()
            && self
                .figures
                .iter()
                .all(|figure| figure.goal.reached(figure.value) != Some(false))
    }

    fn table(&self) -> String {
        let width = self.figures.iter().map(|figure| figure.what.len()).max();
        let width = width.unwrap_or(0).max("figure".len());
        let mut table = format!(
            "| {:width$} | {:>10} | {:>10} | reached |\n| {:-<width$} | {:->9}: | {:->9}: | ------- |\n",
            "figure", "measured", "goal", "", "", ""
        );
        for figure in &self.figures {
            let shown = |value: f64| {
                let number = format!("{value:.*}", figure.digits);
                format!("{number} {}", figure.unit).trim_end().to_string()
            };
            let goal = match figure.goal {
                Goal::AtLeast(goal) => format!(">= {}", shown(goal)),
                Goal::AtMost(goal) => format!("<= {}", shown(goal)),
                Goal::Shown => String::new(),
            };
            let reached = match figure.goal.reached(figure.value) {
                Some(true) => "yes",
                Some(false) => "no",
                None => "",
            };
            table.push_str(&format!(
                "| {:width$} | {:>10} | {goal:>10} | {reached:7} |\n",
                figure.what,
                shown(figure.value)
            ));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::{Goal, Report};

    #[test]
    fn figures_stand_beside_their_goals() {
        let mut report = Report::default();
        report.ratio("nginx", 0.8512, Goal::AtLeast(0.85));
        report.figure("memory", 12.34, "MB", Goal::AtMost(40.0));
        report.count("spans", 7, Goal::Shown);
        assert_eq!(
            report.table(),
            "\
| figure |   measured |       goal | reached |
| ------ | ---------: | ---------: | ------- |
| nginx  |      0.851 |   >= 0.850 | yes     |
| memory |    12.3 MB | <= 40.0 MB | yes     |
| spans  |          7 |            |         |
"
        );
        assert!(report.print());
        report.count("lost", 1, Goal::AtMost(0.0));
        assert!(!report.print());
    }

    #[test]
    fn a_wrong_thing_fails_without_a_figure() {
        let mut report = Report::default();
        report.wrong("spans are missing".into());
        assert!(!report.print());
    }

    #[test]
    fn not_a_number_reaches_no_goal() {
        assert_eq!(Goal::AtLeast(0.1).reached(f64::NAN), Some(false));
        assert_eq!(Goal::AtMost(0.1).reached(f64::NAN), Some(false));
    }
}
