//! Measurements, side by side: what the container crates do, the floor below it, and the tools that
//! people use today, alternating in one run on one machine.
//!
//! Absolute figures move with the machine and its load, so the figure that counts is a ratio: each
//! [`Row`] names the floor that it is divided by, and [`measure::alternate`] runs all rows of a
//! table in turn, in a new random order each round, so that drift and after-effects (the kernel takes network
//! namespaces down in the background) hit all of them alike. Time is the monotonic clock's, nothing is
//! pinned to a processor.
//!
//! ```
//! use std::time::Duration;
//! use container_benches::{Row, measure, stats::Table};
//!
//! let mut rows = vec![
//!     Row::new("floor/sum", "floor/sum", || Ok(Duration::from_micros(10))),
//!     Row::new("ours/sum", "floor/sum", || Ok(Duration::from_micros(11))),
//! ];
//! let (measured, failed) = measure::alternate(&mut rows, 100, 5);
//! assert!(failed.is_empty());
//! let table = Table::new(measured);
//! assert_eq!(table.rows[1].ratio_p50, Some(1.1));
//! ```

pub mod args;
pub mod command;
pub mod fixture;
pub mod floor;
pub mod measure;
pub mod ocirun;
pub mod ours;
pub mod peers;
pub mod plot;
mod row;
pub mod spawn;
pub mod stats;
pub mod worker;

pub use row::{Namespaces, Row, Run};

/// The result of a measurement's step; errors are for a person to read.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
