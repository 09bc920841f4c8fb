//! `events`: what a container uses, as runc's JSON lines.

use std::time::Instant;

use container_core::cgroup::CgroupEvent;
use serde_json::{Value, json};

use crate::args::Events;
use crate::{Context, Failure};

/// Prints statistics once, or at every interval until the container's end; in between, that
/// memory lacked.
pub(crate) fn events(context: &Context<'_>, events: &Events) -> Result<(), Failure> {
    let container = context.runtime.load(&events.id)?;
    let line = |kind: &str, data: Option<Value>| {
        let mut line = json!({ "type": kind, "id": events.id });
        if let Some(data) = data {
            line["data"] = data;
        }
        println!("{line}");
    };
    line("stats", Some(container.stats()?.to_runc_json()));
    if events.stats {
        return Ok(());
    }
    let mut watch = container.watch()?;
    let mut next = Instant::now() + events.interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        match watch.next(Some(left))? {
            Some(CgroupEvent::OutOfMemory { .. }) => line("oom", None),
            Some(CgroupEvent::Removed) => return Ok(()),
            Some(_) => {}
            None => {
                let stats = container.stats();
                // Its accounts may have gone with it meanwhile.
                if container.state().map_or(true, |state| state.pid == 0) {
                    return Ok(());
                }
                line("stats", Some(stats?.to_runc_json()));
                next = Instant::now() + events.interval;
            }
        }
    }
}
