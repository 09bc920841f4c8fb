//! `state`, `list`, `ps`.

use std::process::Command;

use container_core::runtime::State;
use nix::unistd::{Uid, User};
use serde_json::{Value, json};

use crate::args::{List, ListFormat, Ps};
use crate::{Context, Failure};

/// What `state` and `list` say about one, as runc says it.
fn described(state: &State) -> Result<Value, Failure> {
    let mut all = serde_json::to_value(state)?;
    all["owner"] = owner(state.owner).into();
    Ok(all)
}

/// `state`.
pub(crate) fn state(context: &Context<'_>, id: &str) -> Result<(), Failure> {
    let state = context.runtime.load(id)?.state()?;
    println!("{}", serde_json::to_string_pretty(&described(&state)?)?);
    Ok(())
}

/// `list`; a directory that holds no container is a warning.
pub(crate) fn list(context: &Context<'_>, list: &List) -> Result<(), Failure> {
    let mut states = Vec::new();
    for entry in context.runtime.list()? {
        match entry.container.and_then(|container| container.state()) {
            Ok(state) => states.push(state),
            Err(error) => context.log.warning(&format!("{}: {error}", entry.id)),
        }
    }
    if list.quiet {
        states.iter().for_each(|state| println!("{}", state.id));
        return Ok(());
    }
    match list.format {
        // As runc has it for none.
        ListFormat::Json if states.is_empty() => println!("null"),
        ListFormat::Json => {
            let all = states.iter().map(described).collect::<Result<Vec<_>, _>>()?;
            println!("{}", json!(all));
        }
        ListFormat::Table => table(&states),
    }
    Ok(())
}

fn table(states: &[State]) {
    let row = |words: [&str; 6]| {
        let [id, pid, status, bundle, created, owner] = words;
        println!("{id:11} {pid:11} {status:11} {bundle:19} {created:30} {owner}");
    };
    row(["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    for state in states {
        row([
            &state.id,
            &state.pid.to_string(),
            &state.status.to_string(),
            &state.bundle.display().to_string(),
            &state.created,
            &owner(state.owner),
        ]);
    }
}

/// The user's name; `#` and the number where nobody has it.
fn owner(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("#{uid}"), |user| user.name)
}

/// `ps`: the table is of ps(1), with the lines of this container's processes.
pub(crate) fn ps(context: &Context<'_>, ps: &Ps) -> Result<(), Failure> {
    let pids = context.runtime.load(&ps.id)?.processes()?;
    if ps.format == ListFormat::Json {
        println!("{}", json!(pids));
        return Ok(());
    }
    let options = if ps.options.is_empty() { vec!["-ef".into()] } else { ps.options.clone() };
    let output = Command::new("ps")
        .args(&options)
        .output()
        .map_err(|error| Failure::new(error).within("run ps"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("ps {}: {}", options.join(" "), words.trim())));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|word| word == "PID");
    let column = column.ok_or_else(|| Failure::new("ps printed no column PID"))?;
    println!("{head}");
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            println!("{line}");
        }
    }
    Ok(())
}
