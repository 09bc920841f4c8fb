use super::Facility;
use super::status::Status;
use crate::capability::{Capability, CapabilitySet};

pub(super) fn facilities(status: &Status) -> Vec<Facility> {
    vec![capabilities(status)]
}

fn capabilities(status: &Status) -> Facility {
    let name = "capabilities";
    let held = status.effective;
    if held.contains(Capability::SysAdmin) {
        return Facility::present(name, words(held));
    }
    Facility::absent(
        name,
        words(held),
        "run as root; an ordinary user holds them all inside its user namespace",
    )
}

fn words(held: CapabilitySet) -> String {
    let (count, all) = (held.len(), CapabilitySet::ALL.len());
    let lacking = CapabilitySet::ALL.difference(held);
    match (count, lacking.len()) {
        (0, _) => "none".to_owned(),
        (_, 0) => format!("all {all}"),
        (_, 1..=8) => format!("{count} of {all}, without {lacking}"),
        _ => format!("{count} of {all}: {held}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_list_is_shown() {
        assert_eq!(words(CapabilitySet::ALL), "all 41");
        assert_eq!(words(CapabilitySet::EMPTY), "none");
        let most = CapabilitySet::ALL.without(Capability::SysResource);
        assert_eq!(words(most), "40 of 41, without CAP_SYS_RESOURCE");
        assert_eq!(words(CapabilitySet::of(&[Capability::Kill])), "1 of 41: CAP_KILL");
    }

    #[test]
    fn without_cap_sys_admin_the_way_out_is_named() {
        assert!(!capabilities(&Status::default()).available);
        let effective = CapabilitySet::ALL;
        assert!(capabilities(&Status { effective, ..Status::default() }).available);
    }
}
