//! Rules as v1 has them: a default and exceptions from it.

use super::rule::{DeviceAccess, DeviceClass, DeviceRule};
use crate::error::{Error, ErrorKind, Result};

/// Some devices, for which the default does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Exception {
    block: bool,
    major: Option<u32>,
    minor: Option<u32>,
    access: DeviceAccess,
}

impl Exception {
    fn same_devices(&self, other: &Self) -> bool {
        (self.block, self.major, self.minor) == (other.block, other.major, other.minor)
    }

    fn covers(&self, other: &Self) -> bool {
        let over = |own: Option<u32>, theirs| own.is_none() || own == theirs;
        self.block == other.block && over(self.major, other.major) && over(self.minor, other.minor)
    }

    fn meets(&self, other: &Self) -> bool {
        let both = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.block == other.block && both(self.major, other.major) && both(self.minor, other.minor)
    }

    fn text(&self, access: DeviceAccess) -> String {
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        let class = if self.block { 'b' } else { 'c' };
        format!("{class} {}:{} {access}", number(self.major), number(self.minor))
    }
}

/// What `devices.list` shows, and what the rules come down to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Lists {
    allow: bool,
    exceptions: Vec<Exception>,
}

impl Lists {
    /// The state after all rules, one after the other.
    ///
    /// A rule that takes something out of the middle of a wider one has no form in v1, where
    /// exceptions have no exceptions; the kernel would pass over it.
    pub(super) fn of(rules: &[DeviceRule]) -> Result<Self> {
        let mut lists = Self::default();
        for rule in rules {
            if rule.is_universal() {
                lists = Self { allow: rule.allow, exceptions: Vec::new() };
                continue;
            }
            for block in [true, false] {
                let other = if block { DeviceClass::Character } else { DeviceClass::Block };
                if rule.class == other {
                    continue;
                }
                let DeviceRule { major, minor, access, .. } = *rule;
                let devices = Exception { block, major, minor, access };
                match rule.allow == lists.allow {
                    true => lists.remove(&devices).map_err(|e| inexpressible(rule, e))?,
                    false => lists.add(devices),
                }
            }
        }
        Ok(lists)
    }

    fn add(&mut self, new: Exception) {
        match self.exceptions.iter_mut().find(|old| old.same_devices(&new)) {
            Some(old) => old.access = old.access.or(new.access),
            None => self.exceptions.push(new),
        }
        self.exceptions.retain(|exception| !exception.access.is_empty());
    }

    fn remove(&mut self, gone: &Exception) -> std::result::Result<(), Exception> {
        for old in &mut self.exceptions {
            if gone.covers(old) {
                old.access = old.access.without(gone.access);
            } else if gone.meets(old) && !old.access.and(gone.access).is_empty() {
                return Err(*old);
            }
        }
        self.exceptions.retain(|exception| !exception.access.is_empty());
        Ok(())
    }

    /// Reads `devices.list`. Where the default is to allow, the kernel does not show exceptions.
    pub(super) fn parse(text: &str) -> Self {
        let mut lists = Self::default();
        for line in text.lines() {
            let mut words = line.split([' ', ':']);
            let class = words.next();
            let mut number = || words.next().and_then(|word| word.parse().ok());
            let (major, minor) = (number(), number());
            let access = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
            match class {
                Some("a") => lists = Self { allow: true, exceptions: Vec::new() },
                Some(class @ ("b" | "c")) => {
                    lists.add(Exception { block: class == "b", major, minor, access });
                }
                _ => {}
            }
        }
        lists
    }

    /// The writes, as file and value, that turn these into `target`.
    ///
    /// What stays allowed is allowed all the while.
    pub(super) fn steps_to(&self, target: &Self) -> Vec<(&'static str, String)> {
        let file = |allow| if allow { "devices.allow" } else { "devices.deny" };
        let mut steps = Vec::new();
        let mut present = self.exceptions.as_slice();
        if self.allow || target.allow {
            steps.push((file(target.allow), "a".to_owned()));
            present = &[];
        }
        steps.extend(difference(&target.exceptions, present).map(|e| (file(!target.allow), e)));
        steps.extend(difference(present, &target.exceptions).map(|e| (file(target.allow), e)));
        steps
    }
}

/// What is excepted in `of` and not in `from`.
fn difference<'a>(of: &'a [Exception], from: &'a [Exception]) -> impl Iterator<Item = String> + 'a {
    of.iter().filter_map(|exception| {
        let other = from.iter().find(|other| other.same_devices(exception));
        let access = exception.access.without(other.map(|it| it.access).unwrap_or_default());
        (!access.is_empty()).then(|| exception.text(access))
    })
}

fn inexpressible(rule: &DeviceRule, wider: Exception) -> Error {
    let reason = format!(
        "cgroup v1 can't make an exception from the wider rule for {}",
        wider.text(wider.access)
    );
    Error::with(ErrorKind::Unsupported, "linux.resources.devices", rule.to_string(), reason)
        .hint("name the devices one by one, or use cgroup v2")
}

#[cfg(test)]
impl Lists {
    /// As the kernel decides: one exception has to be about all of the access.
    pub(super) fn decide(&self, block: bool, access: u8, major: u32, minor: u32) -> bool {
        let about = self.exceptions.iter().filter(|e| {
            e.block == block
                && e.major.is_none_or(|number| number == major)
                && e.minor.is_none_or(|number| number == minor)
        });
        let mut bits = about.map(|exception| exception.access.bits());
        match self.allow {
            true => !bits.any(|bits| bits & access != 0),
            false => bits.any(|bits| bits & access == access),
        }
    }

    /// What the kernel makes of a write.
    pub(super) fn written(&mut self, file: &str, value: &str) {
        let allow = file == "devices.allow";
        match Self::parse(value) {
            _ if value == "a" => *self = Self { allow, exceptions: Vec::new() },
            one if allow != self.allow => one.exceptions.into_iter().for_each(|e| self.add(e)),
            one => {
                for gone in one.exceptions {
                    let same = self.exceptions.iter_mut().find(|e| e.same_devices(&gone));
                    let Some(same) = same else { continue };
                    same.access = same.access.without(gone.access);
                }
                self.exceptions.retain(|exception| !exception.access.is_empty());
            }
        }
    }

    pub(super) fn same_as(&self, other: &Self) -> bool {
        let all_in = |a: &Self, b: &Self| a.exceptions.iter().all(|e| b.exceptions.contains(e));
        self.allow == other.allow && all_in(self, other) && all_in(other, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(from: &str, rules: &[DeviceRule]) -> Vec<String> {
        let steps = Lists::parse(from).steps_to(&Lists::of(rules).unwrap());
        steps.into_iter().map(|(file, value)| format!("{file}={value}")).collect()
    }

    const NULL: DeviceRule = DeviceRule {
        allow: true,
        class: DeviceClass::Character,
        major: Some(1),
        minor: Some(3),
        access: DeviceAccess::ALL,
    };

    #[test]
    fn a_new_cgroup_starts_from_all_or_from_its_parent() {
        let rules = [DeviceRule::deny_all(), NULL];
        assert_eq!(steps("a *:* rwm\n", &rules), ["devices.deny=a", "devices.allow=c 1:3 rwm"]);
        assert_eq!(
            steps("c 1:3 rw\nb *:* m\n", &rules),
            ["devices.allow=c 1:3 m", "devices.deny=b *:* m"]
        );
        assert!(steps("c 1:3 rwm\n", &rules).is_empty());
        assert_eq!(steps("c 1:3 rwm\n", &[DeviceRule::allow_all()]), ["devices.allow=a"]);
    }

    #[test]
    fn later_rules_decide() {
        let undone = [NULL, DeviceRule { allow: false, minor: None, ..NULL }];
        assert_eq!(Lists::of(&undone).unwrap(), Lists::default());
        let part = DeviceRule { allow: false, access: DeviceAccess::WRITE, ..NULL };
        assert_eq!(steps("", &[NULL, part]), ["devices.allow=c 1:3 rm"]);
        let from_all = [DeviceRule::allow_all(), part];
        assert_eq!(steps("", &from_all), ["devices.allow=a", "devices.deny=c 1:3 w"]);
        let both = DeviceRule { class: DeviceClass::All, ..NULL };
        assert_eq!(steps("", &[both]), ["devices.allow=b 1:3 rwm", "devices.allow=c 1:3 rwm"]);
    }

    #[test]
    fn what_v1_cannot_express_is_refused() {
        let wide = DeviceRule { minor: None, ..NULL };
        let error = Lists::of(&[wide, DeviceRule { allow: false, ..NULL }]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        // An access that the wider rule does not give is denied already.
        let read = DeviceRule { access: DeviceAccess::READ, ..wide };
        let write = DeviceRule { allow: false, access: DeviceAccess::WRITE, ..NULL };
        assert!(Lists::of(&[read, write]).is_ok());
    }
}
