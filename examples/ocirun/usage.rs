//! `events`: what a container uses, as runc's JSON lines.

use std::thread;

use container_core::ErrorKind;
use container_core::cgroup::{Limit, Stats};
use serde_json::{Value, json};

use crate::args::Events;
use crate::{Context, Failure};

/// Prints statistics once, or at every interval until the container's end; in between, that
/// somebody was killed for lack of memory.
pub(crate) fn events(context: &Context<'_>, events: &Events) -> Result<(), Failure> {
    let container = context.runtime.load(&events.id)?;
    let mut killed = None;
    loop {
        let stats = match container.stats() {
            Ok(stats) => stats,
            Err(error) if killed.is_some() && error.kind() == ErrorKind::WrongState => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let now = stats.memory.oom_kills.unwrap_or(0);
        if killed.is_some_and(|before| now > before) {
            println!("{}", json!({ "type": "oom", "id": events.id }));
        }
        killed = Some(now);
        println!("{}", json!({ "type": "stats", "id": events.id, "data": data(&stats) }));
        if events.stats {
            return Ok(());
        }
        thread::sleep(events.interval);
        if container.state()?.pid == 0 {
            return Ok(());
        }
    }
}

fn data(stats: &Stats) -> Value {
    let (cpu, memory, pids) = (&stats.cpu, &stats.memory, &stats.pids);
    let limit = |limit: Option<Limit>| limit.and_then(Limit::value).unwrap_or(u64::MAX);
    json!({
        "cpu": {
            "usage": {
                "total": cpu.usage_ns,
                "user": cpu.user_ns,
                "kernel": cpu.system_ns,
            },
            "throttling": {
                "periods": cpu.periods,
                "throttledPeriods": cpu.throttled_periods,
                "throttledTime": cpu.throttled_ns,
            },
        },
        "memory": {
            "usage": {
                "usage": memory.current,
                "max": memory.peak,
                "limit": limit(memory.limit),
                "failcnt": memory.limit_hits,
            },
            "swap": { "usage": memory.swap },
        },
        "pids": { "current": pids.current, "limit": limit(pids.limit) },
    })
}
