//! `events`: what a container uses and what happens to it, as runc's JSON lines.

use std::time::Instant;

use container_core::ErrorKind;
use container_core::runtime::{ContainerEvent, StoredContainer};
use serde_json::json;

use crate::args::Events;
use crate::{Context, Failure};

/// Prints statistics once, or at every interval until the container's end; in between, that its
/// memory did not suffice.
pub(crate) fn events(context: &Context<'_>, events: &Events) -> Result<(), Failure> {
    let container = context.runtime.load(&events.id)?;
    print_stats(&container)?;
    if events.stats {
        return Ok(());
    }
    let mut happening = container.events()?;
    loop {
        let end = Instant::now() + events.interval;
        while let Some(event) =
            happening.next(Some(end.saturating_duration_since(Instant::now())))?
        {
            match event {
                ContainerEvent::OutOfMemory { .. } => {
                    println!("{}", json!({ "type": "oom", "id": container.id() }));
                }
                ContainerEvent::Ended => return Ok(()),
                _ => {}
            }
        }
        match print_stats(&container) {
            // It has just been deleted.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::WrongState) => {
                return Ok(());
            }
            other => other?,
        }
    }
}

fn print_stats(container: &StoredContainer) -> Result<(), container_core::Error> {
    let data = container.stats()?.to_runc_json();
    println!("{}", json!({ "type": "stats", "id": container.id(), "data": data }));
    Ok(())
}
