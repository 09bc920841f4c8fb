//! `versus ocirun`: `run` of each OCI runtime on the same bundle, from the program's start to its
//! reaped exit: create, start, wait and delete, with a cgroup and with none.
//!
//! Where `/sys/fs/cgroup` is not cgroup2, all of them run in a mount namespace that shows only
//! cgroup2, as crun refuses anything else; those that can also run outside, in rows `…-hybrid`.

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;

use crate::Result;
use crate::args::Options;
use crate::command::Report;
use crate::fixture::Fixture;
use crate::measure::{self, Unavailable};
use crate::peers::{self, Peer};
use crate::row::Row;
use crate::spawn::{is_root, machine};
use crate::stats::Table;
use crate::worker::{self, Kind, Worker};

const WARM_UP: usize = 5;

/// Runs the measurement.
///
/// # Errors
///
/// Without root; the fixture can't be made; nothing could be measured.
pub fn run(options: &Options) -> Result<Report> {
    if !is_root()? {
        return Err("ocirun: needs root, as the bundle has no user namespace".into());
    }
    let machine = machine();
    let fixture = Fixture::new()?;
    let (mut rows, mut unavailable) = rows(&fixture, &options.only)?;
    let (samples, failed) = measure::alternate(&mut rows, options.runs, WARM_UP);
    unavailable.extend(failed);
    drop(rows);
    peers::clean_up(&fixture);
    let table = Table::new(samples);
    if table.rows.is_empty() {
        return Err("nothing could be measured".into());
    }
    Ok(Report {
        title: "OCI runtimes: `run` of the bundle that `spec` writes".into(),
        notes: vec![machine, format!("{} rounds, rows alternating", options.runs)],
        findings: findings(&table),
        table,
        unavailable,
    })
}

fn rows(fixture: &Fixture, only: &str) -> Result<(Vec<Row>, Vec<Unavailable>)> {
    let (mut rows, mut unavailable) = (vec![], vec![]);
    let mut leave_out = |name: String, reason: String| {
        unavailable.push(Unavailable { name, reason });
    };
    let pure = fs::exists("/sys/fs/cgroup/cgroup.controllers")?;
    let cgroup2 = match pure {
        true => None,
        false => Some(Rc::new(RefCell::new(Worker::start(fixture, Kind::Cgroup2)?))),
    };
    for peer in peers::runtimes(fixture).iter().filter(|peer| peer.name.contains(only)) {
        match row(fixture, peer, cgroup2.as_ref()) {
            Ok(row) => rows.push(row),
            Err(error) => leave_out(peer.name.into(), error.to_string()),
        }
        if pure || peer.name.ends_with("nocgroup") {
            continue;
        }
        let name = format!("{}-hybrid", peer.name);
        match row(fixture, peer, None) {
            Ok(row) => rows.push(Row { name, floor: "run/runc-hybrid".into(), ..row }),
            Err(error) => leave_out(name, error.to_string()),
        }
    }
    Ok((rows, unavailable))
}

/// The runtime's row, if it works once.
fn row(fixture: &Fixture, peer: &Peer, worker: Option<&Rc<RefCell<Worker>>>) -> Result<Row> {
    let row = peer.row()?;
    let tried = match worker {
        Some(worker) => worker.borrow_mut().probe(peer.name),
        None => peer.probe(fixture),
    };
    if let Err(error) = tried {
        peers::clean_up(fixture);
        return Err(error);
    }
    Ok(match worker {
        Some(worker) => worker::remote(worker, &row, row.name.clone()),
        None => row,
    })
}

fn findings(table: &Table) -> Vec<String> {
    let pairs = [
        ("run/crun", "run/ocirun"),
        ("run/runc", "run/ocirun"),
        ("run/youki", "run/ocirun"),
        ("run/crun-nocgroup", "run/ocirun-nocgroup"),
        ("run/runc-hybrid", "run/ocirun-hybrid"),
    ];
    pairs.iter().filter_map(|(over, under)| table.compare(over, under)).collect()
}
