//! The alternation: all rows in turn, round after round.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::row::Row;
use crate::stats::Samples;

/// A row that could not be measured, or one whose runs failed in part, and why.
#[derive(Clone, Debug)]
pub struct Unavailable {
    /// The row's name.
    pub name: String,
    /// The error's text.
    pub reason: String,
}

/// What has come of one row so far.
#[derive(Debug, Default)]
struct Progress {
    times: Vec<Duration>,
    failures: usize,
    last: String,
}

impl Progress {
    fn take(&mut self, row: &mut Row) -> bool {
        match (row.run)() {
            Ok(time) => self.times.push(time),
            Err(error) => {
                self.failures += 1;
                self.last = error.to_string();
            }
        }
        self.failures <= row.tolerates
    }
}

/// Runs every row `warm_up` times, then `runs` rounds of all rows, each round in a new order. A row
/// with a stride takes part in every stride-th round. A row that fails more often than it
/// [tolerates](Row::tolerates) is measured no further and its times are thrown away; every failure
/// is told beside the times.
pub fn alternate(
    rows: &mut [Row],
    runs: usize,
    warm_up: usize,
) -> (Vec<Samples>, Vec<Unavailable>) {
    let mut progress: Vec<Progress> = rows.iter().map(|_| Progress::default()).collect();
    for (row, progress) in rows.iter_mut().zip(&mut progress) {
        let mut warm = 0..warm_up.div_ceil(row.stride);
        while warm.next().is_some() && progress.take(row) {}
        progress.times.clear();
    }
    let bar = ProgressBar::new(runs as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} rounds, {eta} left") {
        bar.set_style(style);
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15;
    for round in 0..runs {
        shuffle(&mut order, &mut random);
        for &index in &order {
            let (row, progress) = (&mut rows[index], &mut progress[index]);
            if progress.failures <= row.tolerates && round % row.stride == 0 {
                progress.take(row);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    collect(rows, progress)
}

fn collect(rows: &[Row], progress: Vec<Progress>) -> (Vec<Samples>, Vec<Unavailable>) {
    let (mut samples, mut failed) = (vec![], vec![]);
    for (row, progress) in rows.iter().zip(progress) {
        let Progress { times, failures, last } = progress;
        let (name, floor) = (row.name.clone(), row.floor.clone());
        if failures > 0 {
            let reason = if failures > row.tolerates {
                format!("after {} good runs: {last}", times.len())
            } else {
                format!("{failures} failed runs are not in its figures, the last: {last}")
            };
            failed.push(Unavailable { name: name.clone(), reason });
        }
        if failures <= row.tolerates {
            samples.push(Samples { name, floor, times });
        }
    }
    (samples, failed)
}

/// Fisher and Yates, with Marsaglia's xorshift.
fn shuffle(order: &mut [usize], random: &mut u64) {
    for last in (1..order.len()).rev() {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        order.swap(last, (*random % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row that fails in each `nth` run.
    fn flaky(name: &str, nth: usize) -> Row {
        let mut runs = 0;
        Row::new(name, "a", move || {
            runs += 1;
            if runs % nth == 0 { Err("gone".into()) } else { Ok(Duration::ZERO) }
        })
    }

    #[test]
    fn strides_and_failures() {
        let mut rows = vec![
            Row::new("a", "a", || Ok(Duration::ZERO)),
            Row::new("b", "a", || Ok(Duration::ZERO)).every(10),
            flaky("c", 3),
            flaky("d", 50).tolerating(2),
            flaky("e", 50).tolerating(1),
        ];
        let (samples, failed) = alternate(&mut rows, 100, 1);
        let counts: Vec<_> = samples.iter().map(|row| (&*row.name, row.times.len())).collect();
        assert_eq!(counts, [("a", 100), ("b", 10), ("d", 98)]);
        let failed: Vec<_> = failed.iter().map(|row| (&*row.name, &*row.reason)).collect();
        assert_eq!(
            failed,
            [
                ("c", "after 1 good runs: gone"),
                ("d", "2 failed runs are not in its figures, the last: gone"),
                ("e", "after 97 good runs: gone"),
            ]
        );
    }
}
