//! The picture: a horizontal bar for each row's median on a logarithmic scale, with a whisker to
//! its 99th percentile, as plain SVG.

use std::fmt::Write as _;

use crate::stats::{Line, Table};

const LEFT: f64 = 210.0;
const PLOT: f64 = 560.0;
const RIGHT: f64 = 210.0;
const TOP: f64 = 92.0;
const PITCH: f64 = 26.0;
const BAR: f64 = 16.0;
const FONT: &str = "font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\"";

/// Maps µs to a place on the axis.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// Whole decades where there are several, else the 1-2-5 steps around the data.
    fn new(rows: &[Line]) -> Self {
        let low = rows.iter().map(|row| row.p50_us).fold(f64::INFINITY, f64::min).max(0.001);
        let high = rows.iter().map(|row| row.p99_us.max(row.p50_us)).fold(low, f64::max);
        let below = ticks(low / 10.0, low / 1.1).pop().unwrap_or(low / 2.0);
        let above = ticks(high * 1.02, high * 10.2).first().copied().unwrap_or(high * 2.0);
        Self { low: below, high: above }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + PLOT * (value / self.low).ln() / (self.high / self.low).ln()
    }
}

/// The 1-2-5 steps from `low` to `high`.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let mut ticks = vec![];
    let mut decade = 10f64.powf(low.log10().floor());
    while decade <= high {
        ticks.extend([1.0, 2.0, 5.0].map(|step| step * decade));
        decade *= 10.0;
    }
    ticks.retain(|tick| *tick >= low * 0.999 && *tick <= high * 1.001);
    ticks
}

/// Draws the table.
#[must_use]
pub fn svg(title: &str, subtitle: &str, table: &Table) -> String {
    let rows = &table.rows;
    let scale = Scale::new(rows);
    let bottom = TOP + PITCH * rows.len() as f64;
    let (width, height) = (LEFT + PLOT + RIGHT, bottom + 58.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" {FONT} font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    text(
        &mut out,
        (20.0, 30.0),
        "start",
        "#1b1f24",
        "font-size=\"18\" font-weight=\"bold\"",
        title,
    );
    text(&mut out, (20.0, 50.0), "start", "#57606a", "", subtitle);
    legend(&mut out);
    axis(&mut out, &scale, bottom);
    for (index, row) in rows.iter().enumerate() {
        bar(&mut out, &scale, TOP + PITCH * index as f64, row);
    }
    out.push_str("</svg>\n");
    out
}

fn colour(name: &str) -> &'static str {
    match name.split('/').next() {
        Some("ours") => "#1a7f37",
        Some("floor") => "#8c959f",
        _ => "#4f86c6",
    }
}

fn legend(out: &mut String) {
    let mut x = 20.0;
    for (group, label) in [("floor", "floor"), ("ours", "ours"), ("peer", "peers")] {
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"62\" width=\"12\" height=\"12\" fill=\"{}\"/>",
            colour(group)
        );
        text(out, (x + 18.0, 72.0), "start", "#1b1f24", "", label);
        x += 72.0;
    }
    text(
        out,
        (x + 6.0, 72.0),
        "start",
        "#57606a",
        "",
        "bar: p50 · whisker: p99 · times: ÷ floor p50",
    );
}

fn axis(out: &mut String, scale: &Scale, bottom: f64) {
    let all = ticks(scale.low, scale.high);
    // Beyond two decades only the decades get a number.
    let crowded = all.len() > 9;
    for tick in all {
        let x = scale.x(tick);
        let decade = (tick.log10() - tick.log10().round()).abs() < 1e-6;
        let shade = if decade { "#c4cad1" } else { "#eaeef2" };
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"{shade}\"/>"
        );
        if decade || !crowded {
            text(out, (x, bottom + 18.0), "middle", "#57606a", "", &short_time(tick));
        }
    }
    let note = "wall time, logarithmic scale";
    text(out, (LEFT + PLOT / 2.0, bottom + 40.0), "middle", "#57606a", "", note);
}

fn bar(out: &mut String, scale: &Scale, top: f64, row: &Line) {
    let (start, p50, p99) = (scale.x(scale.low), scale.x(row.p50_us), scale.x(row.p99_us));
    let (y, middle) = (top + (PITCH - BAR) / 2.0, top + PITCH / 2.0);
    let weight = if row.name.starts_with("ours/") { "font-weight=\"bold\"" } else { "" };
    text(out, (LEFT - 10.0, middle + 4.0), "end", "#1b1f24", weight, &row.name);
    let _ = writeln!(
        out,
        "<rect x=\"{start:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{}\"/>",
        p50 - start,
        colour(&row.name)
    );
    let (cap_top, cap_bottom) = (middle - 4.0, middle + 4.0);
    let _ = writeln!(
        out,
        "<path d=\"M{p50:.1} {middle:.1}H{p99:.1}M{p99:.1} {cap_top:.1}V{cap_bottom:.1}\" \
         stroke=\"#1b1f24\" stroke-width=\"1.3\" fill=\"none\"/>"
    );
    let ratio = row.ratio_p50.map_or(String::new(), |ratio| format!(" · {ratio:.2}×"));
    let label = format!("{} (p99 {}){ratio}", time(row.p50_us), time(row.p99_us));
    text(out, (p99.max(p50) + 8.0, middle + 4.0), "start", "#1b1f24", weight, &label);
}

/// As [`time`], for the round values of the axis.
fn short_time(micros: f64) -> String {
    time(micros).replace(".00 ", " ").replace(".0 ", " ")
}

/// µs in the unit that fits, with three digits.
fn time(micros: f64) -> String {
    let (value, unit) = match micros {
        us if us < 1_000.0 => (us, "µs"),
        us if us < 1_000_000.0 => (us / 1_000.0, "ms"),
        us => (us / 1_000_000.0, "s"),
    };
    match value {
        v if v >= 100.0 => format!("{v:.0} {unit}"),
        v if v >= 10.0 => format!("{v:.1} {unit}"),
        v => format!("{v:.2} {unit}"),
    }
}

fn text(out: &mut String, at: (f64, f64), anchor: &str, fill: &str, style: &str, text: &str) {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\" {style}>{escaped}</text>",
        at.0, at.1
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Samples;

    #[test]
    fn ticks_are_1_2_5() {
        assert_eq!(ticks(90.0, 1100.0), [100.0, 200.0, 500.0, 1000.0]);
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(time(120.4), "120 µs");
        assert_eq!(time(20.0), "20.0 µs");
        assert_eq!((short_time(20.0), short_time(2000.0)), ("20 µs".into(), "2 ms".into()));
        assert_eq!(time(9_876.0), "9.88 ms");
        assert_eq!(time(73_336.0), "73.3 ms");
    }

    #[test]
    fn every_row_is_drawn_inside() {
        let rows =
            [("floor/a", 80), ("ours/<a>", 100), ("peer/a", 20_000)].map(|(name, us)| Samples {
                name: name.into(),
                floor: "floor/a".into(),
                times: vec![std::time::Duration::from_micros(us); 3],
            });
        let svg = svg("t", "s", &Table::new(rows.into()));
        assert!(svg.contains("ours/&lt;a&gt;") && svg.contains("250.00×"));
        assert_eq!(svg.matches("stroke-width").count(), 3);
    }
}
