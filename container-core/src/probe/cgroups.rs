use super::Facility;
use crate::cgroup::{self, CgroupSupport};
use crate::error::Result;

pub(super) fn facilities() -> Vec<Facility> {
    of(cgroup::probe())
}

fn of(support: Result<CgroupSupport>) -> Vec<Facility> {
    let support = match support {
        Ok(support) => support,
        Err(error) => {
            let way_out = error.way_out().unwrap_or("mount /proc and cgroup2").to_owned();
            return vec![Facility::absent("cgroups", error.to_string(), way_out)];
        }
    };
    let mut facilities = Vec::new();
    let controllers: Vec<_> = support
        .controllers
        .iter()
        .map(|(controller, version)| format!("{controller} ({version})"))
        .collect();
    let detail = format!("{}: {}", support.layout, controllers.join(", "));
    facilities.push(match controllers.is_empty() {
        false => Facility::present("cgroups", detail),
        true => Facility::absent(
            "cgroups",
            format!("{}, no controller", support.layout),
            "mount cgroup2: mount -t cgroup2 none /sys/fs/cgroup",
        ),
    });
    if support.clone_into {
        facilities
            .push(Facility::present("CLONE_INTO_CGROUP", "children are born in their cgroup"));
    }
    if let Some(delegation) = &support.delegation {
        facilities.push(Facility::present("delegated cgroup", delegation.prefix.clone()));
    }
    let missing = support.missing.iter().map(|missing| {
        Facility::absent(missing.facility.clone(), "not there", missing.way_out.clone())
    });
    facilities.extend(missing);
    facilities
}
