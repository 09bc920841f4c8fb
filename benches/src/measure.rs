//! The alternation: all rows in turn, round after round.

use indicatif::{ProgressBar, ProgressStyle};

use crate::row::Row;
use crate::stats::Samples;

/// A row that could not be measured (to its end), and why.
#[derive(Clone, Debug)]
pub struct Unavailable {
    /// The row's name.
    pub name: String,
    /// The error's text.
    pub reason: String,
}

/// Runs every row `warm_up` times, then `runs` rounds of all rows, each round in a new order. A row
/// with a stride takes part in every stride-th round. A row that fails is measured no further: its
/// times are thrown away and its error is returned beside the others' times.
pub fn alternate(
    rows: &mut [Row],
    runs: usize,
    warm_up: usize,
) -> (Vec<Samples>, Vec<Unavailable>) {
    let mut samples: Vec<Samples> = rows
        .iter()
        .map(|row| Samples {
            name: row.name.clone(),
            floor: row.floor.clone(),
            times: vec![],
        })
        .collect();
    let mut failed: Vec<Option<String>> = vec![None; rows.len()];
    for (row, failed) in rows.iter_mut().zip(&mut failed) {
        for _ in 0..warm_up.div_ceil(row.stride) {
            if let Err(error) = (row.run)() {
                *failed = Some(error.to_string());
                break;
            }
        }
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
            if failed[index].is_some() || round % rows[index].stride != 0 {
                continue;
            }
            match (rows[index].run)() {
                Ok(time) => samples[index].times.push(time),
                Err(error) => failed[index] = Some(format!("in round {round}: {error}")),
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let failed: Vec<Unavailable> = rows
        .iter()
        .zip(failed)
        .filter_map(|(row, reason)| {
            Some(Unavailable {
                name: row.name.clone(),
                reason: reason?,
            })
        })
        .collect();
    samples.retain(|row| !failed.iter().any(|gone| gone.name == row.name));
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn strides_and_failures() {
        let mut left = 3;
        let mut rows = vec![
            Row::new("a", "a", || Ok(Duration::ZERO)),
            Row::new("b", "a", || Ok(Duration::ZERO)).every(10),
            Row::new("c", "a", move || {
                left -= 1;
                if left == 0 {
                    Err("gone".into())
                } else {
                    Ok(Duration::ZERO)
                }
            }),
        ];
        let (samples, failed) = alternate(&mut rows, 100, 1);
        let counts: Vec<_> = samples
            .iter()
            .map(|row| (&*row.name, row.times.len()))
            .collect();
        assert_eq!(counts, [("a", 100), ("b", 10)]);
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].reason, "in round 1: gone");
    }
}
