//! `update`: limits, by flags or by a file.

use std::path::PathBuf;

use clap::Args;

use super::values::bytes;

/// The limits to change. What is not named stays.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// File with the resources as JSON, `-` for the standard input; the other flags are passed over
    #[arg(short, long, value_name = "FILE")]
    pub(crate) resources: Option<PathBuf>,
    /// Weight for block devices, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) blkio_weight: Option<u16>,
    /// Length of a period in microseconds
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub(crate) cpu_period: Option<u64>,
    /// Processor time in a period, in microseconds; -1 for no limit
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// Time that may be saved for a burst, in microseconds
    #[arg(long, value_name = "TIME")]
    pub(crate) cpu_burst: Option<u64>,
    /// Weight for processor time, 2 to 262144
    #[arg(long, visible_alias = "cpu-shares", value_name = "WEIGHT")]
    pub(crate) cpu_share: Option<u64>,
    /// Length of a realtime period in microseconds
    #[arg(long, value_name = "TIME")]
    pub(crate) cpu_rt_period: Option<u64>,
    /// Realtime in such a period in microseconds
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub(crate) cpu_rt_runtime: Option<i64>,
    /// Processors to use, `0-2,7`
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    /// 1: run only where nothing else wants to
    #[arg(long, value_name = "0|1", allow_negative_numbers = true)]
    pub(crate) cpu_idle: Option<i64>,
    /// Memory, in bytes or with a unit; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = bytes)]
    pub(crate) memory: Option<i64>,
    /// Memory that is left to it in need
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = bytes)]
    pub(crate) memory_reservation: Option<i64>,
    /// Memory and swap together; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = bytes)]
    pub(crate) memory_swap: Option<i64>,
    /// Number of processes; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Schema of Intel's L3 cache allocation
    #[arg(long, value_name = "SCHEMA")]
    pub(crate) l3_cache_schema: Option<String>,
    /// Schema of Intel's memory bandwidth allocation
    #[arg(long, value_name = "SCHEMA")]
    pub(crate) mem_bw_schema: Option<String>,
    /// The container's name
    #[arg(value_name = "CONTAINER")]
    pub(crate) id: String,
}
