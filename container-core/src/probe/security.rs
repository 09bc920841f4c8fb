use nix::errno::Errno;

use super::Facility;
use super::raw::{RefusedCall, landlock_abi};

pub(super) fn facilities() -> Vec<Facility> {
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    let actions = actions.unwrap_or_default();
    vec![
        seccomp(RefusedCall::SeccompFilter.answer(), actions.trim()),
        notification(&actions),
        landlock(landlock_abi()),
    ]
}

fn seccomp(answer: Errno, actions: &str) -> Facility {
    let name = "seccomp";
    match answer {
        // The filter is read last.
        Errno::EFAULT if actions.is_empty() => Facility::present(name, "filters"),
        Errno::EFAULT => {
            Facility::present(name, format!("filters with {}", actions.replace(' ', ", ")))
        }
        Errno::ENOSYS | Errno::EINVAL => Facility::absent(
            name,
            "the kernel lacks filters",
            "a kernel with CONFIG_SECCOMP_FILTER",
        ),
        other => Facility::absent(
            name,
            format!("refused: {other}"),
            "allow the call in the profile of the surrounding container",
        ),
    }
}

fn notification(actions: &str) -> Facility {
    let name = "seccomp notification";
    match actions.split_whitespace().any(|action| action == "user_notif") {
        true => Facility::present(name, "system calls can be handed to a supervisor"),
        false => Facility::absent(name, "the kernel lacks it", "Linux 5.0"),
    }
}

fn landlock(abi: Result<u32, Errno>) -> Facility {
    let name = "landlock";
    match abi {
        Ok(abi) => Facility::present(name, format!("interface version {abi}")),
        Err(Errno::EOPNOTSUPP) => Facility::absent(
            name,
            "compiled in and switched off at boot",
            "landlock in the lsm= list of the kernel's command line",
        ),
        Err(_) => Facility::absent(
            name,
            "the kernel lacks it",
            "Linux 5.13 with CONFIG_SECURITY_LANDLOCK",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_in_words() {
        assert_eq!(seccomp(Errno::EFAULT, "trap errno").detail, "filters with trap, errno");
        assert!(!seccomp(Errno::ENOSYS, "").available);
        assert!(!seccomp(Errno::EPERM, "").available);
        assert!(notification("trap user_notif log\n").available);
        assert!(!notification("trap log").available);
        assert!(landlock(Ok(6)).available);
        assert!(!landlock(Err(Errno::EOPNOTSUPP)).available);
        assert!(!landlock(Err(Errno::ENOSYS)).available);
    }
}
