//! `hooks`: each with its field's name, in the order of a container's life.

use oci_spec::runtime::Spec;

use super::field::no_nul;
use crate::error::Result;
use crate::hooks::{Hook, HookPoint};

pub(super) fn hooks(spec: &Spec) -> Result<Vec<(HookPoint, Hook)>> {
    let Some(described) = spec.hooks() else {
        return Ok(Vec::new());
    };
    #[allow(deprecated, reason = "specs still have them")]
    let prestart = described.prestart();
    let lists = [
        (HookPoint::Prestart, prestart),
        (HookPoint::CreateRuntime, described.create_runtime()),
        (HookPoint::CreateContainer, described.create_container()),
        (HookPoint::StartContainer, described.start_container()),
        (HookPoint::Poststart, described.poststart()),
        (HookPoint::Poststop, described.poststop()),
    ];
    let mut all = Vec::new();
    for (point, list) in lists {
        for (index, hook) in list.iter().flatten().enumerate() {
            let field = format!("hooks.{point}[{index}]");
            no_nul(format_args!("{field}.path"), hook.path())?;
            all.push((point, Hook::from_oci(hook).map_err(|error| error.in_field(field))?));
        }
    }
    Ok(all)
}
