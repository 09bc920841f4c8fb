//! `create` and `run`.

use container_core::ContainerBuilder;
use container_core::runtime::{CreateOptions, StoredContainer};

use crate::args::{CgroupManager, Create, Run};
use crate::foreground::{Caught, attend, exit_code};
use crate::{Context, Failure, bundle, inherited};

/// Everything but the program's start.
pub(crate) fn create(context: &Context<'_>, create: &Create) -> Result<(), Failure> {
    if create.explain {
        return explain(context, create);
    }
    made(context, create, options(context, create)?)?;
    Ok(())
}

/// All of it, and then either nothing more or the wait for its end.
pub(crate) fn run(context: &Context<'_>, run: &Run) -> Result<u8, Failure> {
    if run.create.explain {
        return explain(context, &run.create).map(|()| 0);
    }
    let mut options = options(context, &run.create)?;
    if !run.detach && run.create.console_socket.is_none() {
        options = options.keep_terminal();
    }
    let caught = if run.detach { None } else { Some(Caught::new()?) };
    let bundle = bundle::load(context, &run.create.bundle)?;
    let id = run.create.id.as_deref().unwrap_or_default();
    let container = context.runtime.run(id, &bundle, &options)?;
    let Some(caught) = caught else { return Ok(0) };
    let same = context.runtime.load(container.id())?;
    let status = attend(
        caught,
        container.take_terminal(),
        move |signal| {
            // It may have ended by now.
            let _ = same.kill(signal);
        },
        || container.wait(),
    )?;
    if !run.keep {
        removed(context, container, true)?;
    }
    status.map(exit_code).ok_or_else(|| Failure::new("its exit status is lost"))
}

/// The plan, readable, without doing any of it.
fn explain(context: &Context<'_>, create: &Create) -> Result<(), Failure> {
    let bundle = bundle::load(context, &create.bundle)?;
    let mut builder = ContainerBuilder::from_spec(bundle.spec(), bundle.directory())?;
    if let Some(id) = &create.id {
        builder = builder.id(id);
    }
    println!("{}", builder.plan()?);
    Ok(())
}

fn made(
    context: &Context<'_>,
    create: &Create,
    options: CreateOptions,
) -> Result<StoredContainer, Failure> {
    let bundle = bundle::load(context, &create.bundle)?;
    let id = create.id.as_deref().unwrap_or_default();
    Ok(context.runtime.create(id, &bundle, &options)?)
}

fn options(context: &Context<'_>, create: &Create) -> Result<CreateOptions, Failure> {
    let mut options = CreateOptions::new()
        .no_pivot(create.no_pivot)
        .no_new_keyring(create.no_new_keyring)
        .without_cgroup(context.manager == CgroupManager::Disabled);
    if let Some(socket) = &create.console_socket {
        options = options.console_socket(socket);
    }
    if let Some(file) = &create.pid_file {
        options = options.pid_file(file);
    }
    for descriptor in inherited::from_three(create.preserve_fds)? {
        options = options.pass_fd(descriptor);
    }
    Ok(options)
}

/// Deletes it; what its last hooks failed at is a warning.
pub(crate) fn removed(
    context: &Context<'_>,
    container: StoredContainer,
    force: bool,
) -> Result<(), Failure> {
    for error in container.delete(force)? {
        context.log.warning(&error.to_string());
    }
    Ok(())
}
