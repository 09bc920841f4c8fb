//! The subcommands of `versus`, one table.

use std::fs;

use crate::args::Options;
use crate::measure::Unavailable;
use crate::stats::Table;
use crate::{Result, ocirun, plot, spawn};

/// What a measurement gives back.
#[derive(Clone, Debug)]
pub struct Report {
    /// The picture's heading.
    pub title: String,
    /// Lines above the table: the machine, what is measured.
    pub notes: Vec<String>,
    /// The figures.
    pub table: Table,
    /// What could not be measured, wholly or in part, and why.
    pub unavailable: Vec<Unavailable>,
    /// Lines below the table: comparisons across rows.
    pub findings: Vec<String>,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Subcommand {
    /// Its word on the command line.
    pub name: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Runs it.
    pub run: fn(&Options) -> Result<Report>,
}

/// All measurements.
pub const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "spawn",
        help: "a container from spawn to reaped exit, against the floors and the runtimes on PATH",
        run: spawn::run,
    },
    Subcommand {
        name: "ocirun",
        help: "`ocirun run` beside crun, runc and youki on the same bundle (build the example first)",
        run: ocirun::run,
    },
];

/// The text of `--help`.
#[must_use]
pub fn help() -> String {
    let mut text = String::from(
        "versus SUBCOMMAND [--runs N] [--json FILE] [--plot FILE.svg] [--host-memory 4GiB] \
         [--only TEXT]\n",
    );
    for command in SUBCOMMANDS {
        text.push_str(&format!("  {:8} {}\n", command.name, command.help));
    }
    text
}

/// Runs one measurement and writes the files asked for; gives back the text to print.
///
/// # Errors
///
/// An unknown subcommand or option, or a file that can't be written.
pub fn run(name: &str, words: impl IntoIterator<Item = String>) -> Result<String> {
    let command = SUBCOMMANDS
        .iter()
        .find(|command| command.name == name)
        .ok_or_else(|| format!("unknown subcommand {name}\n{}", help()))?;
    let options = Options::parse(words)?;
    let report = (command.run)(&options)?;
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report.table)? + "\n";
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(path) = &options.plot {
        let svg = plot::svg(&report.title, &report.notes.join(" · "), &report.table);
        fs::write(path, svg).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(render(&report))
}

fn render(report: &Report) -> String {
    let mut text = report.notes.iter().map(|note| format!("{note}\n")).collect::<String>();
    text.push('\n');
    text.push_str(&report.table.render());
    if !report.findings.is_empty() {
        text.push('\n');
    }
    for finding in &report.findings {
        text.push_str(&format!("{finding}\n"));
    }
    if !report.unavailable.is_empty() {
        text.push_str("\nleft out:\n");
    }
    for row in &report.unavailable {
        text.push_str(&format!("  {}: {}\n", row.name, row.reason));
    }
    text
}
