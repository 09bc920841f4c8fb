//! Network devices of the host that a container gets for its own.
//!
//! A network device belongs to one network namespace at a time. Handing one
//! over moves it, with its permanent global addresses, into the container's:
//! the host has it no more. When the namespace goes, the kernel gives a
//! physical device back to the host's first namespace, and removes a virtual
//! one.
//!
//! ```
//! use container_core::net_device::NetDevice;
//!
//! let device = NetDevice::new("ens4").renamed("eth0");
//! device.check()?;
//! assert_eq!((device.name(), device.name_inside()), ("ens4", "eth0"));
//! assert!(NetDevice::new("longer-than-15-bytes").check().is_err());
//! # Ok::<(), container_core::Error>(())
//! ```

use crate::error::{Error, Result};

mod hand_over;
mod netlink;

pub(crate) use hand_over::{HandedOver, hand_over};

/// A network device to hand over, see the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct NetDevice {
    name: String,
    inside: Option<String>,
}

impl NetDevice {
    /// The longest name, in bytes (`IFNAMSIZ` less the NUL).
    pub const MAX_NAME: usize = 15;

    /// The device of this name in the caller's network namespace. It keeps the
    /// name unless [renamed](Self::renamed).
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), inside: None }
    }

    /// The device's name inside.
    pub fn renamed(mut self, name: impl Into<String>) -> Self {
        self.inside = Some(name.into());
        self
    }

    /// The name outside.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name inside.
    #[must_use]
    pub fn name_inside(&self) -> &str {
        self.inside.as_deref().unwrap_or(&self.name)
    }

    /// Whether both are names as the kernel takes them.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for one that is empty,
    /// longer than [`MAX_NAME`](Self::MAX_NAME) bytes, `.`, `..`, or has a
    /// blank, a control character or one of `/`, `:`, `%`.
    pub fn check(&self) -> Result<()> {
        [self.name(), self.name_inside()].into_iter().try_for_each(check_name)
    }
}

fn check_name(name: &str) -> Result<()> {
    let step = "check net device";
    if name.is_empty() || name.len() > NetDevice::MAX_NAME {
        let reason = format!("a name has 1 to {} bytes", NetDevice::MAX_NAME);
        return Err(Error::invalid(step, name, reason));
    }
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':' | '%');
    match matches!(name, "." | "..") || name.contains(bad) {
        true => Err(Error::invalid(step, name, "not a device's name")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        NetDevice::new("eth0.100").renamed("a").check().unwrap();
        for wrong in ["", ".", "..", "a/b", "a b", "eth%d", "a:1", "0123456789abcdef", "a\0"] {
            assert!(NetDevice::new(wrong).check().is_err(), "{wrong:?}");
            assert!(NetDevice::new("a").renamed(wrong).check().is_err(), "{wrong:?}");
        }
    }
}
