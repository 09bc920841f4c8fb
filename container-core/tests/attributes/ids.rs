//! Ids and capabilities: exactly those described.

use container_core::{
    Capabilities, Capability, CapabilitySet, NamespaceKind, Namespaces, UserSpec,
};

use crate::support::{assert_denied, sleeper, status};

#[test]
fn every_set_is_as_described() {
    if !testkit::require_root() {
        return;
    }
    use Capability::{Chown, Kill, NetAdmin, NetRaw, SysChroot};
    let of = CapabilitySet::of;
    let sets = Capabilities {
        bounding: of(&[Chown, Kill, NetRaw, NetAdmin]),
        permitted: of(&[Kill, NetRaw, SysChroot]),
        effective: of(&[Kill]),
        inheritable: of(&[Kill, NetRaw]),
        ambient: of(&[Kill]),
    };
    // The exec of an ordinary user leaves the ambient ones only; root's gives
    // what is inheritable or bounding (capabilities(7)).
    let by_root = sets.inheritable.union(sets.bounding);
    let cases = [("1000:1000", sets.ambient, sets.ambient), ("0:0", by_root, by_root)];
    for (user, permitted, effective) in cases {
        let user: UserSpec = user.parse().unwrap();
        let process = sleeper(|builder| builder.user(user).capabilities(sets)).unwrap();
        let set = |field: &str| {
            let bits = u64::from_str_radix(&status(process.id(), field), 16).unwrap();
            CapabilitySet::from_bits_truncate(bits)
        };
        assert_eq!(set("CapBnd"), sets.bounding);
        assert_eq!(set("CapInh"), sets.inheritable);
        assert_eq!(set("CapAmb"), sets.ambient);
        assert_eq!(set("CapPrm"), permitted);
        assert_eq!(set("CapEff"), effective);
    }
}

#[test]
fn capabilities_that_the_caller_lacks_are_named() {
    let held = CapabilitySet::of_caller().unwrap();
    let lacking = CapabilitySet::ALL.difference(held);
    if lacking.is_empty() {
        return;
    }
    let error = sleeper(|builder| builder.capabilities(Capabilities::all())).unwrap_err();
    assert_denied(&error, "check capabilities");
    assert_eq!(error.object(), lacking.to_string());
    if testkit::is_root() {
        let rest = Capabilities::all().restricted_to(held);
        let process = sleeper(|builder| builder.capabilities(rest)).unwrap();
        assert_eq!(status(process.id(), "CapEff"), format!("{:016x}", held.bits()));
    } else if testkit::require_unprivileged_userns() {
        let user = Namespaces::none().with(NamespaceKind::User);
        let process =
            sleeper(|builder| builder.namespaces(user).capabilities(Capabilities::all())).unwrap();
        assert_ne!(status(process.id(), "CapEff"), "0000000000000000");
    }
}

#[test]
fn ids_groups_and_mask_by_number() {
    if !testkit::require_root() {
        return;
    }
    let highest = u32::MAX - 1;
    let user = UserSpec::by_ids(highest, 5)
        .unwrap()
        .with_additional_gids([7, highest])
        .unwrap()
        .with_umask(0o027)
        .unwrap();
    let process = sleeper(|builder| builder.user(user)).unwrap();
    let all = |id: u32| [id.to_string(), id.to_string(), id.to_string(), id.to_string()].join("\t");
    assert_eq!(status(process.id(), "Uid"), all(highest));
    assert_eq!(status(process.id(), "Gid"), all(5));
    assert_eq!(status(process.id(), "Groups"), format!("7 {highest}"));
    assert_eq!(status(process.id(), "Umask"), "0027");
    assert!(UserSpec::by_ids(u32::MAX, 0).is_err(), "(uid_t) -1 is none");
}
