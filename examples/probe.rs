//! What this machine can do for containers, and how to get what it can't, as one table:
//!
//! ```sh
//! cargo run --example probe            # or: -- --json, -- --missing
//! ```
//!
//! The answers are those for the calling user: run it as root too.

use std::io::{self, Write, stdout};
use std::process::ExitCode;

use serde_json::{Value, json};

/// One line of the table.
struct Row {
    krate: &'static str,
    facility: String,
    available: bool,
    detail: String,
    way_out: Option<String>,
}

/// The four crates have a type for it each; they have the same fields.
macro_rules! rows {
    ($krate:literal, $facilities:expr) => {
        $facilities.into_iter().map(|found| Row {
            krate: $krate,
            facility: found.name.to_string(),
            available: found.available,
            detail: found.detail,
            way_out: found.way_out,
        })
    };
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rows: Vec<Row> = rows!("container-core", container_core::probe().facilities)
        .chain(rows!("container-fs", container_fs::probe().facilities))
        .chain(rows!("container-image", container_image::probe().facilities))
        .chain(rows!("container-net", container_net::probe().facilities))
        .collect();
    let printed = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => table(&rows, |_| true),
        ["--missing"] => table(&rows, |row| !row.available),
        ["--json"] => {
            let rows: Vec<Value> = rows.iter().map(Row::json).collect();
            writeln!(stdout(), "{:#}", Value::from(rows))
        }
        _ => {
            let _ = writeln!(io::stderr(), "usage: probe [--missing | --json]");
            return ExitCode::FAILURE;
        }
    };
    // A reader that closed the pipe has seen enough.
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn table(rows: &[Row], wanted: impl Fn(&Row) -> bool) -> io::Result<()> {
    let mut out = stdout().lock();
    let width = rows.iter().map(|row| row.facility.chars().count()).max().unwrap_or(0);
    let mut krate = "";
    for row in rows.iter().filter(|row| wanted(row)) {
        if krate != row.krate {
            let gap = if krate.is_empty() { "" } else { "\n" };
            writeln!(out, "{gap}{}", row.krate)?;
            krate = row.krate;
        }
        let state = if row.available { "yes" } else { "no " };
        writeln!(out, "  {state}  {:<width$}  {}", row.facility, row.detail)?;
        if let Some(way_out) = &row.way_out {
            writeln!(out, "       {:<width$}  -> {way_out}", "")?;
        }
    }
    let missing = rows.iter().filter(|row| !row.available).count();
    writeln!(out, "\n{} of {} facilities are there", rows.len() - missing, rows.len())
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "crate": self.krate,
            "facility": self.facility,
            "available": self.available,
            "detail": self.detail,
            "wayOut": self.way_out,
        })
    }
}
