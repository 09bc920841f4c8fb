use std::path::Path;

use nix::errno::Errno;

use super::Facility;
use super::raw::RefusedCall;
use super::status::Status;
use crate::capability::Capability;
use crate::namespace::NamespaceKind;

/// What decides whether this process may make user namespaces.
#[derive(Debug, Clone, Default)]
struct UserFacts {
    in_kernel: bool,
    privileged: bool,
    /// `user.max_user_namespaces`.
    maximum: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, of Debian and Arch kernels.
    unprivileged_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, of Ubuntu kernels.
    apparmor_restricts: Option<u64>,
    filtered: bool,
}

impl UserFacts {
    fn gather(privileged: bool) -> Self {
        Self {
            in_kernel: in_kernel(NamespaceKind::User),
            privileged,
            maximum: maximum(NamespaceKind::User),
            unprivileged_clone: sysctl("kernel/unprivileged_userns_clone"),
            apparmor_restricts: sysctl("kernel/apparmor_restrict_unprivileged_userns"),
            // With a flag that unshare never takes, the kernel answers EINVAL.
            filtered: RefusedCall::UnshareUser.answer() != Errno::EINVAL,
        }
    }

    fn facility(&self) -> Facility {
        let absent =
            |detail: &str, way_out: &str| Facility::absent("user namespace", detail, way_out);
        if !self.in_kernel {
            return absent("the kernel lacks it", "a kernel with CONFIG_USER_NS");
        }
        if self.maximum == Some(0) {
            return absent("user.max_user_namespaces=0", "sysctl user.max_user_namespaces=15000");
        }
        if self.filtered {
            return absent(
                "a seccomp filter around this process refuses it",
                "allow unshare and clone in the profile of the surrounding container",
            );
        }
        if !self.privileged && self.unprivileged_clone == Some(0) {
            return absent(
                "kernel.unprivileged_userns_clone=0 keeps it from ordinary users",
                "sysctl kernel.unprivileged_userns_clone=1",
            );
        }
        if !self.privileged && self.apparmor_restricts.is_some_and(|value| value != 0) {
            return absent(
                "AppArmor takes the capabilities inside from ordinary users",
                "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile \
                 of the program with the rule userns",
            );
        }
        let who = if self.privileged { "by privilege" } else { "for ordinary users as well" };
        Facility::present("user namespace", who)
    }
}

pub(super) fn facilities(status: &Status) -> Vec<Facility> {
    let privileged = status.effective.contains(Capability::SysAdmin);
    let user = UserFacts::gather(privileged).facility();
    let with_user = user.available;
    let others = NamespaceKind::ALL.into_iter().filter(|kind| *kind != NamespaceKind::User);
    let others: Vec<_> = others
        .map(|kind| facility(kind, in_kernel(kind), maximum(kind), privileged, with_user))
        .collect();
    std::iter::once(user).chain(others).collect()
}

fn facility(
    kind: NamespaceKind,
    in_kernel: bool,
    maximum: Option<u64>,
    privileged: bool,
    with_user: bool,
) -> Facility {
    let name = format!("{kind} namespace");
    let sysctl = format!("user.max_{kind}_namespaces");
    match (in_kernel, maximum) {
        (false, _) => Facility::absent(name, "the kernel lacks it", kernel_option(kind)),
        (_, Some(0)) => {
            Facility::absent(name, format!("{sysctl}=0"), format!("sysctl {sysctl}=15000"))
        }
        _ if privileged => Facility::present(name, "by privilege"),
        _ if with_user => Facility::present(name, "together with a user namespace"),
        _ => Facility::absent(
            name,
            "needs CAP_SYS_ADMIN or a user namespace",
            "run as root, or see user namespace",
        ),
    }
}

fn kernel_option(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Pid => "a kernel with CONFIG_PID_NS",
        NamespaceKind::Net => "a kernel with CONFIG_NET_NS",
        NamespaceKind::Uts => "a kernel with CONFIG_UTS_NS",
        NamespaceKind::Ipc => "a kernel with CONFIG_IPC_NS",
        NamespaceKind::Cgroup => "Linux 4.6 with CONFIG_CGROUPS",
        NamespaceKind::Time => "Linux 5.6 with CONFIG_TIME_NS",
        NamespaceKind::User | NamespaceKind::Mount => "a kernel with CONFIG_NAMESPACES",
    }
}

fn in_kernel(kind: NamespaceKind) -> bool {
    Path::new("/proc/self/ns").join(kind.name()).exists()
}

fn maximum(kind: NamespaceKind) -> Option<u64> {
    sysctl(&format!("user/max_{kind}_namespaces"))
}

fn sysctl(name: &str) -> Option<u64> {
    std::fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordinary() -> UserFacts {
        UserFacts { in_kernel: true, maximum: Some(100), ..UserFacts::default() }
    }

    #[test]
    fn each_switch_that_is_off_is_named() {
        assert!(ordinary().facility().available);
        let cases = [
            (UserFacts { in_kernel: false, ..ordinary() }, "CONFIG_USER_NS"),
            (UserFacts { maximum: Some(0), ..ordinary() }, "user.max_user_namespaces"),
            (UserFacts { unprivileged_clone: Some(0), ..ordinary() }, "userns_clone=1"),
            (UserFacts { apparmor_restricts: Some(1), ..ordinary() }, "AppArmor"),
            (UserFacts { filtered: true, ..ordinary() }, "profile"),
        ];
        for (facts, words) in cases {
            let facility = facts.facility();
            let way_out = facility.way_out.unwrap();
            assert!(!facility.available && way_out.contains(words), "{way_out}");
        }
    }

    #[test]
    fn switches_for_ordinary_users_do_not_bind_root() {
        let root = UserFacts {
            privileged: true,
            unprivileged_clone: Some(0),
            apparmor_restricts: Some(1),
            ..ordinary()
        };
        assert!(root.facility().available);
    }

    #[test]
    fn others_need_privilege_or_a_user_namespace() {
        let of = |privileged, with_user| {
            facility(NamespaceKind::Net, true, Some(1), privileged, with_user).available
        };
        assert!(of(true, false) && of(false, true) && !of(false, false));
        let none = facility(NamespaceKind::Net, true, Some(0), true, true);
        assert_eq!(none.way_out.unwrap(), "sysctl user.max_net_namespaces=15000");
    }
}
