//! Hidden and read-only paths.

use std::ffi::CString;

use super::super::assemble::Assembly;
use super::super::op::{DeviceNumber, Op, Slot};
use super::super::validate::inside;
use crate::error::Result;
use crate::process::Description;

pub(super) fn add(assembly: &mut Assembly, description: &Description, root: Slot) -> Result<()> {
    for path in &description.read_only {
        let path = inside("check path", path)?;
        assembly
            .push(Op::ReadOnly { root, path }, "settings of the whole machine: not to be changed");
    }
    if description.masked.is_empty() {
        return Ok(());
    }
    let null = assembly.slot();
    let path = CString::from(c"/dev/null");
    assembly.push(
        Op::OpenPath { path, flags: libc::O_PATH as u64, out: null },
        "the cover of masked files, taken from the host's side",
    );
    let device = DeviceNumber { block: false, major: 1, minor: 3 };
    assembly.push(Op::CheckDevice { slot: null, device }, "it must be the null device itself");
    for path in &description.masked {
        let path = inside("check path", path)?;
        assembly.push(Op::Mask { root, path, null }, "tells or does things that concern the host");
    }
    assembly.push(Op::Close(null), "done with it");
    assembly.reuse(null);
    Ok(())
}
