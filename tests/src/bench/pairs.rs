//! Paired runs: what a machine does beside them changes slowly, so two runs that follow each other
//! share it, and their ratio is free of it.

use std::fmt;

use anyhow::Result;

/// Ratios of pairs, in ascending order; at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratios(Vec<f64>);

impl Ratios {
    /// Runs `count` pairs, each giving a rate, and takes `changed / plain` of each. Which of the two
    /// goes first alternates, so that a steady drift cancels out too.
    ///
    /// # Errors
    /// The first of a run.
    pub fn measure(
        count: u32,
        mut plain: impl FnMut() -> Result<f64>,
        mut changed: impl FnMut() -> Result<f64>,
    ) -> Result<Ratios> {
        let mut ratios = Vec::new();
        for pair in 0..count {
            ratios.push(if pair % 2 == 0 {
                let plain = plain()?;
                changed()? / plain
            } else {
                let changed = changed()?;
                changed / plain()?
            });
        }
        Ok(Ratios::of(ratios))
    }

    fn of(mut ratios: Vec<f64>) -> Ratios {
        ratios.sort_by(f64::total_cmp);
        Ratios(ratios)
    }

    /// The middle one, or the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        median(&self.0)
    }
}

/// Of values in ascending order; NaN if there are none.
pub fn median(sorted: &[f64]) -> f64 {
    let (low, high) = (sorted.len().wrapping_sub(1) / 2, sorted.len() / 2);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low), Some(high)) => (low + high) / 2.0,
        _ => f64::NAN,
    }
}

impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        write!(
            f,
            "{:.3} (median of {}; {:.3} to {:.3})",
            self.median(),
            self.0.len(),
            end(self.0.first()),
            end(self.0.last()),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::Ratios;

    #[test]
    fn median_is_the_middle() {
        assert_eq!(Ratios::of(vec![3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Ratios::of(vec![4.0, 1.0, 3.0, 2.0]).median(), 2.5);
        assert_eq!(
            Ratios::of(vec![0.9, 0.8, 1.0]).to_string(),
            "0.900 (median of 3; 0.800 to 1.000)"
        );
    }

    #[test]
    fn order_alternates_and_the_ratio_does_not() {
        let order = RefCell::new(String::new());
        let run = |name: char, rate: f64| {
            order.borrow_mut().push(name);
            Ok(rate)
        };
        let ratios = Ratios::measure(3, || run('p', 10.0), || run('c', 9.0)).unwrap();
        assert_eq!(ratios, Ratios(vec![0.9; 3]));
        assert_eq!(*order.borrow(), "pccppc");
    }
}
