use crate::capability::CapabilitySet;

/// What `/proc/self/status` tells of the privileges of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) euid: u32,
    pub(super) effective: CapabilitySet,
    pub(super) bounding: CapabilitySet,
    pub(super) no_new_privs: bool,
}

impl Status {
    pub(super) fn of_self() -> Self {
        let text = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        Self { euid: nix::unistd::geteuid().as_raw(), ..Self::parse(&text) }
    }

    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.unwrap_or_default().trim()
        };
        let set = |key| {
            let bits = u64::from_str_radix(value(key), 16).unwrap_or(0);
            CapabilitySet::from_bits_truncate(bits)
        };
        Self {
            euid: 0,
            effective: set("CapEff"),
            bounding: set("CapBnd"),
            no_new_privs: value("NoNewPrivs") == "1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lines_that_count() {
        let status = Status::parse("CapEff:\t0000000000000001\nCapBnd:\tff\nNoNewPrivs:\t1\n");
        assert_eq!(status.effective.to_string(), "CAP_CHOWN");
        assert_eq!(status.bounding.bits(), 0xff);
        assert!(status.no_new_privs);
        assert_eq!(Status::parse("CapEff: x\n"), Status::default());
    }
}
