//! `kill`, `delete`, `update`.

use container_core::ErrorKind;

use crate::args::{Delete, Kill, Update};
use crate::create::removed;
use crate::{Context, Failure, resources};

/// Sends a signal.
pub(crate) fn kill(context: &Context<'_>, kill: &Kill) -> Result<(), Failure> {
    let container = context.runtime.load(&kill.id)?;
    match kill.all {
        true => Ok(container.kill_all(kill.signal)?),
        false => Ok(container.kill(kill.signal)?),
    }
}

/// Removes it; by force also what is no container any more, or none at all.
pub(crate) fn delete(context: &Context<'_>, delete: &Delete) -> Result<(), Failure> {
    match context.runtime.load(&delete.id) {
        Ok(container) => removed(context, container, delete.force),
        Err(error) if delete.force => match error.kind() {
            ErrorKind::NotFound => Ok(()),
            ErrorKind::Damaged => Ok(context.runtime.remove_damaged(&delete.id)?),
            _ => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Changes limits.
pub(crate) fn update(context: &Context<'_>, update: &Update) -> Result<(), Failure> {
    let container = context.runtime.load(&update.id)?;
    Ok(container.apply(&resources::describe(update)?)?)
}
