use container_core::ErrorKind;
use container_core::cgroup::{Controller, DeviceClass, DeviceRule, Hierarchy, Resources, Version};

use crate::support::{Job, group, layouts, only};

const OPENS: &str = "(: < /dev/zero) 2>/dev/null && exit 0; exit 1";

fn may_open_zero(group: &container_core::cgroup::Cgroup) -> bool {
    let mut job = Job::attached(group, OPENS);
    job.go();
    job.wait().success()
}

fn zero() -> DeviceRule {
    DeviceRule::allow(DeviceClass::Character, 1, 5, "r".parse().unwrap())
}

fn everything_needed_by_a_shell() -> DeviceRule {
    DeviceRule::allow(DeviceClass::Character, 1, 3, "rw".parse().unwrap())
}

fn each_layout(test: impl Fn(&Hierarchy)) {
    if testkit::require_root() {
        layouts().iter().for_each(&test);
        let v2 = only("cgroup2");
        if v2.unified().is_some() {
            test(&v2);
        }
    }
}

#[test]
fn rules_allow_and_deny() {
    each_layout(|hierarchy| {
        let limits = |rules: &[DeviceRule]| Resources::new().devices(rules.iter().copied());
        let none = limits(&[DeviceRule::deny_all(), everything_needed_by_a_shell()]);
        let group = group(hierarchy, none.controllers());
        assert!(may_open_zero(&group));
        group.apply(&none).unwrap();
        assert!(!may_open_zero(&group));
        // Replaced, not added to.
        let with = limits(&[DeviceRule::deny_all(), everything_needed_by_a_shell(), zero()]);
        group.apply(&with).unwrap();
        assert!(may_open_zero(&group));
        group.apply(&none).unwrap();
        assert!(!may_open_zero(&group));
        group.apply(&limits(&[DeviceRule::allow_all()])).unwrap();
        assert!(may_open_zero(&group));
    });
}

#[test]
fn rules_that_v1_cannot_express_change_nothing() {
    each_layout(|hierarchy| {
        if hierarchy.mount_of(Controller::Devices).is_none_or(|it| it.version() == Version::V2) {
            return;
        }
        let wide = DeviceRule::allow(DeviceClass::Character, 1, None, "rw".parse().unwrap());
        let narrow = DeviceRule::deny(DeviceClass::Character, 1, 5, "rw".parse().unwrap());
        let limits = Resources::new().pids_max(5).devices([wide, narrow]);
        let group = group(hierarchy, limits.controllers());
        let error = group.apply(&limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(
            group.stats().unwrap().pids.limit,
            Some(container_core::cgroup::Limit::Unlimited)
        );
        assert!(may_open_zero(&group));
    });
}
