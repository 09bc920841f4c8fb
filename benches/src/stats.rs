//! Percentiles, ratios to the floor, the table and its JSON form.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

/// The times of one row.
#[derive(Clone, Debug)]
pub struct Samples {
    /// The row's name.
    pub name: String,
    /// The row that its ratios refer to.
    pub floor: String,
    /// In the order in which they were taken.
    pub times: Vec<Duration>,
}

/// The nearest-rank percentile of sorted times, in µs; `None` if there are none.
#[must_use]
pub fn percentile(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map(|time| time.as_nanos() as f64 / 1000.0)
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The row's name.
    pub name: String,
    /// How many times were taken.
    pub n: usize,
    /// Median, µs.
    pub p50_us: f64,
    /// 99th percentile (nearest rank), µs.
    pub p99_us: f64,
    /// Median by the floor's median; `None` where the floor wasn't measured.
    pub ratio_p50: Option<f64>,
    /// 99th percentile by the floor's.
    pub ratio_p99: Option<f64>,
    /// The row that the ratios refer to.
    #[serde(skip)]
    pub floor: String,
}

/// All rows of one run; serializes to `{"rows": [...]}`.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// In the order of measurement's list.
    pub rows: Vec<Line>,
}

impl Table {
    /// Computes the percentiles and ratios. Rows without a time are left out.
    #[must_use]
    pub fn new(samples: Vec<Samples>) -> Self {
        let mut rows: Vec<Line> = samples.into_iter().filter_map(line).collect();
        add_floors(&mut rows);
        for index in 0..rows.len() {
            let floor = rows.iter().find(|row| row.name == rows[index].floor);
            let ratios = floor.map(|floor| {
                (rows[index].p50_us / floor.p50_us, rows[index].p99_us / floor.p99_us)
            });
            rows[index].ratio_p50 = ratios.map(|ratio| round(ratio.0));
            rows[index].ratio_p99 = ratios.map(|ratio| round(ratio.1));
        }
        Self { rows }
    }

    /// The row of that name.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&Line> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// How much longer one row takes than another, in words.
    #[must_use]
    pub fn compare(&self, over: &str, under: &str) -> Option<String> {
        let ratio = self.row(over)?.p50_us / self.row(under)?.p50_us;
        Some(format!("{over} takes {ratio:.2} times {under} (p50)"))
    }

    /// The table for people.
    #[must_use]
    pub fn render(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(4);
        let mut out = format!(
            "{:width$}  {:>6}  {:>9}  {:>9}  {:>7}  {:>7}  floor\n",
            "row", "n", "p50 µs", "p99 µs", "÷ p50", "÷ p99"
        );
        for row in &self.rows {
            let ratio = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.2}"));
            let _ = writeln!(
                out,
                "{:width$}  {:>6}  {:>9.1}  {:>9.1}  {:>7}  {:>7}  {}",
                row.name,
                row.n,
                row.p50_us,
                row.p99_us,
                ratio(row.ratio_p50),
                ratio(row.ratio_p99),
                row.floor,
            );
        }
        out
    }
}

fn line(samples: Samples) -> Option<Line> {
    let mut times = samples.times;
    times.sort_unstable();
    Some(Line {
        n: times.len(),
        p50_us: round(percentile(&times, 50)?),
        p99_us: round(percentile(&times, 99)?),
        name: samples.name,
        floor: samples.floor,
        ratio_p50: None,
        ratio_p99: None,
    })
}

/// The floor of a set of namespaces is the one of `floor/SET-fork` and `floor/SET-init` with the
/// better median: adds it as `floor/SET`, after the two.
fn add_floors(rows: &mut Vec<Line>) {
    let mut index = 0;
    while index < rows.len() {
        let floor = rows[index].floor.clone();
        if !rows.iter().any(|row| row.name == floor) {
            let part_of = |row: &Line| {
                row.name == format!("{floor}-fork") || row.name == format!("{floor}-init")
            };
            let best = rows.iter().filter(|row| part_of(row));
            let best = best.min_by(|a, b| a.p50_us.total_cmp(&b.p50_us)).cloned();
            let last = rows.iter().rposition(part_of);
            if let (Some(best), Some(last)) = (best, last) {
                rows.insert(last + 1, Line { name: floor, ..best });
            }
        }
        index += 1;
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(name: &str, floor: &str, micros: &[u64]) -> Samples {
        let times = micros.iter().map(|micros| Duration::from_micros(*micros)).collect();
        Samples { name: name.into(), floor: floor.into(), times }
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let times: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile(&times, 50), Some(100.0));
        assert_eq!(percentile(&times, 99), Some(198.0));
        assert_eq!(percentile(&times[..1], 99), Some(1.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn the_better_median_is_the_floor() {
        let table = Table::new(vec![
            samples("floor/full-fork", "floor/full", &[100, 100, 900]),
            samples("floor/full-init", "floor/full", &[50, 80, 2000]),
            samples("ours/full", "floor/full", &[120, 120, 1000]),
            samples("ours/user", "floor/user", &[120]),
            samples("peer/none", "floor/full", &[]),
        ]);
        let names: Vec<_> = table.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(
            names,
            ["floor/full-fork", "floor/full-init", "floor/full", "ours/full", "ours/user"]
        );
        let floor = &table.rows[2];
        assert_eq!((floor.p50_us, floor.p99_us, floor.ratio_p50), (80.0, 2000.0, Some(1.0)));
        assert_eq!(table.rows[3].ratio_p50, Some(1.5));
        assert_eq!(table.rows[3].ratio_p99, Some(0.5));
        assert_eq!(table.rows[4].ratio_p50, None);
    }

    #[test]
    fn json_has_the_agreed_form() {
        let table = Table::new(vec![samples("floor/full-init", "floor/full", &[50])]);
        assert_eq!(
            serde_json::to_string(&table).unwrap(),
            concat!(
                r#"{"rows":[{"name":"floor/full-init","n":1,"p50_us":50.0,"p99_us":50.0,"#,
                r#""ratio_p50":1.0,"ratio_p99":1.0},{"name":"floor/full","n":1,"p50_us":50.0,"#,
                r#""p99_us":50.0,"ratio_p50":1.0,"ratio_p99":1.0}]}"#
            )
        );
    }
}
