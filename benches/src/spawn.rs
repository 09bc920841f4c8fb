//! `versus spawn`: from spawn to reaped exit of a tiny static program in a container.

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;

use crate::Result;
use crate::args::Options;
use crate::command::Report;
use crate::fixture::{self, Fixture};
use crate::floor::{Floor, InitImage, Path};
use crate::measure::{self, Unavailable};
use crate::ours;
use crate::peers::{self, Peer};
use crate::row::{Namespaces, Row};
use crate::stats::Table;
use crate::worker::{self, Kind, Worker};

const WARM_UP: usize = 20;

/// Runs the measurement.
///
/// # Errors
///
/// The fixture can't be made, or nothing could be measured.
pub fn run(options: &Options) -> Result<Report> {
    let machine = machine();
    let fixture = Fixture::new()?;
    let mut plan = Plan { rows: vec![], unavailable: vec![], notes: vec![], cgroup2: None };
    plan.own_rows(&fixture, is_root()?);
    if let Some(size) = options.host_memory {
        plan.host_memory(&fixture, size);
    }
    let wanted = |name: &str| name.starts_with("floor/") || name.contains(&options.only);
    plan.rows.retain(|row| wanted(&row.name));
    for peer in peers::peers(&fixture).iter().filter(|peer| wanted(peer.name)) {
        plan.peer(&fixture, peer, is_root()?);
    }
    let (samples, failed) = measure::alternate(&mut plan.rows, options.runs, WARM_UP);
    plan.unavailable.extend(failed);
    drop(plan.rows);
    peers::clean_up(&fixture);
    let table = Table::new(samples);
    if table.rows.is_empty() {
        return Err("nothing could be measured".into());
    }
    Ok(Report {
        title: "Spawn: from the call to the reaped exit".into(),
        notes: vec![machine, format!("{} rounds, rows alternating", options.runs)],
        findings: findings(&table).into_iter().chain(plan.notes).collect(),
        table,
        unavailable: plan.unavailable,
    })
}

/// All rows that this process can run by itself, without asking whether they work. The worker
/// finds its rows here.
#[must_use]
pub fn local_rows(fixture: &Fixture) -> Vec<Row> {
    let mut rows: Vec<Row> = Namespaces::ALL
        .into_iter()
        .flat_map(|namespaces| floor_rows(fixture, namespaces).unwrap_or_default())
        .collect();
    rows.extend(Namespaces::ALL.iter().filter_map(|kinds| ours::row(fixture, *kinds).ok()));
    rows.extend(peers::plain(fixture));
    let peers = peers::peers(fixture).into_iter().chain(peers::runtimes(fixture));
    rows.extend(peers.filter_map(|peer| peer.row().ok()));
    rows
}

/// The two floors of one set of namespaces.
fn floor_rows(fixture: &Fixture, namespaces: Namespaces) -> Result<Vec<Row>> {
    let name = namespaces.floor();
    let checked = |(time, code)| match code {
        0 => Ok(time),
        code => Err(format!("exit code {code}, the failing step stands on standard error").into()),
    };
    let fork = Floor::new(fixture, namespaces, &[fixture::PROGRAM])?;
    let init = Floor::new(fixture, namespaces, &[fixture::PROGRAM])?;
    let image = InitImage::new()?;
    Ok(vec![
        Row::new(format!("{name}-fork"), &name, move || fork.run(Path::Fork).and_then(checked)),
        Row::new(format!("{name}-init"), &name, move || {
            init.run(Path::Init(&image)).and_then(checked)
        }),
    ])
}

/// The rows to measure, and what was left out.
struct Plan {
    rows: Vec<Row>,
    unavailable: Vec<Unavailable>,
    /// What a reader of the table has to know about a row.
    notes: Vec<String>,
    /// Started when the first runtime needs it.
    cgroup2: Option<Rc<RefCell<Worker>>>,
}

impl Plan {
    fn leave_out(&mut self, name: &str, reason: impl ToString) {
        self.unavailable.push(Unavailable { name: name.into(), reason: reason.to_string() });
    }

    fn own_rows(&mut self, fixture: &Fixture, root: bool) {
        for namespaces in Namespaces::ALL {
            if !root && namespaces != Namespaces::User {
                self.leave_out(&namespaces.floor(), "needs root: no user namespace");
                let ours = format!("ours/{}", namespaces.name());
                self.leave_out(&ours, "needs root: no user namespace");
                continue;
            }
            match floor_rows(fixture, namespaces) {
                Ok(rows) => self.rows.extend(rows),
                Err(error) => self.leave_out(&namespaces.floor(), error),
            }
            match ours::row(fixture, namespaces) {
                Ok(row) => self.rows.push(row),
                Err(error) => self.leave_out(&format!("ours/{}", namespaces.name()), error),
            }
        }
        if root {
            match ours::compiling_row(fixture) {
                Ok(row) => self.rows.push(row),
                Err(error) => self.leave_out("ours/full-compile", error),
            }
        }
        match peers::plain(fixture) {
            Ok(row) => self.rows.push(row),
            Err(error) => self.leave_out("peer/posix_spawn", error),
        }
    }

    /// The rows with the full set again, from a host program with so much touched memory.
    fn host_memory(&mut self, fixture: &Fixture, size: usize) {
        const ROWS: [(&str, usize); 3] =
            [("floor/full-fork", 10), ("floor/full-init", 1), ("ours/full", 1)];
        let worker = match Worker::start(fixture, Kind::HostMemory(size)) {
            Ok(worker) => Rc::new(RefCell::new(worker)),
            Err(error) => return self.leave_out("the rows …-hostmem", error),
        };
        for (name, stride) in ROWS {
            let remote = format!("{name}-hostmem");
            match self.rows.iter().find(|row| row.name == name) {
                Some(row) => {
                    let row = worker::remote(&worker, row, remote).every(stride);
                    self.rows.push(row);
                }
                None => self.leave_out(&remote, "needs root: no user namespace"),
            }
        }
    }

    fn peer(&mut self, fixture: &Fixture, peer: &Peer, root: bool) {
        if !root && peer.against != Namespaces::User {
            return self.leave_out(peer.name, "needs root: no user namespace");
        }
        let row = match peer.row() {
            Ok(row) => row,
            Err(error) => return self.leave_out(peer.name, error),
        };
        let Err(error) = peer.probe(fixture) else {
            return self.rows.push(row);
        };
        peers::clean_up(fixture);
        if !peer.runtime {
            return self.leave_out(peer.name, error);
        }
        match self.probe_in_cgroup2(fixture, peer) {
            Ok(worker) => {
                self.rows.push(worker::remote(&worker, &row, row.name.clone()));
                self.notes.push(format!(
                    "{} runs in a mount namespace that shows only cgroup2; outside: {error}",
                    peer.name
                ));
            }
            Err(second) => {
                self.leave_out(peer.name, format!("{error}; shown only cgroup2: {second}"));
            }
        }
    }

    fn probe_in_cgroup2(&mut self, fixture: &Fixture, peer: &Peer) -> Result<Rc<RefCell<Worker>>> {
        let worker = match &self.cgroup2 {
            Some(worker) => Rc::clone(worker),
            None => Rc::new(RefCell::new(Worker::start(fixture, Kind::Cgroup2)?)),
        };
        self.cgroup2 = Some(Rc::clone(&worker));
        worker.borrow_mut().probe(peer.name)?;
        Ok(worker)
    }
}

pub(crate) fn is_root() -> Result<bool> {
    Ok(fixture::ids()?.0 == 0)
}

/// The kernel, the processors, and how busy they are with something else.
pub(crate) fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("Linux {}, {cpus} CPUs, load {load} at the start", kernel.trim())
}

/// Sentences about rows that are compared with each other and not with a floor.
fn findings(table: &Table) -> Vec<String> {
    let pairs = [
        ("ours/full-hostmem", "ours/full"),
        ("floor/full-init-hostmem", "floor/full-init"),
        ("floor/full-fork-hostmem", "floor/full-fork"),
        ("peer/bwrap", "ours/full"),
        ("peer/crun", "ours/full"),
        ("peer/runc", "ours/full"),
        ("peer/bwrap-user", "ours/user"),
    ];
    pairs.iter().filter_map(|(over, under)| table.compare(over, under)).collect()
}
