//! The last operation: which program, with which arguments and environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::op::Op;
use super::validate::c_string;
use crate::error::{Error, Result};
use crate::process::{DEFAULT_PATH, Description};
use crate::user::User;

/// Candidates for the program, as execvp(3) would try them.
pub(super) fn exec(description: &Description, user: Option<&User>) -> Result<Op> {
    let program = c_string("check program", &description.program)?;
    let mut arguments = vec![match &description.arg0 {
        Some(name) => c_string("check argument", name)?,
        None => program.clone(),
    }];
    for argument in &description.arguments {
        arguments.push(c_string("check argument", argument)?);
    }
    let mut variables = description.environment.clone();
    let path = match variables.iter().find(|(name, _)| name == "PATH") {
        Some((_, path)) => path.clone(),
        None => {
            if !description.exact_environment {
                variables.push(("PATH".into(), DEFAULT_PATH.into()));
            }
            OsString::from(DEFAULT_PATH)
        }
    };
    if let Some(home) = user.and_then(User::home)
        && !description.bare_environment
        && !variables.iter().any(|(name, _)| name == "HOME")
    {
        variables.push(("HOME".into(), home.into()));
    }
    let mut environment = Vec::with_capacity(variables.len());
    for (name, value) in variables {
        let mut variable = name;
        variable.push("=");
        variable.push(value);
        environment.push(c_string("check environment", &variable)?);
    }
    let candidates = if description.program.as_bytes().contains(&b'/') {
        vec![program]
    } else {
        path.as_bytes()
            .split(|byte| *byte == b':')
            .filter(|directory| directory.first() == Some(&b'/'))
            .map(|directory| Path::new(OsStr::from_bytes(directory)).join(&description.program))
            .map(|path| c_string("check program", path.as_os_str()))
            .collect::<Result<Vec<_>>>()?
    };
    if candidates.is_empty() {
        let shown = description.program.to_string_lossy();
        return Err(Error::invalid("check program", shown, "PATH has no absolute directory"));
    }
    Ok(Op::Exec { candidates, arguments, environment })
}
