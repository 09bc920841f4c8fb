//! Moving devices into a container's network namespace, and back if it does
//! not come to be.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::sched::{CloneFlags, setns};

use super::NetDevice;
use super::netlink::{Address, Netlink};
use crate::error::{Error, ErrorKind, Result};

/// Devices that were handed over; dropping it gives them back, unless the
/// container came to be.
#[derive(Debug)]
pub(crate) struct HandedOver {
    devices: Vec<NetDevice>,
    host: OwnedFd,
    namespace: Arc<OwnedFd>,
}

impl HandedOver {
    /// They are the container's now.
    pub(crate) fn keep(mut self) {
        self.devices.clear();
    }
}

impl Drop for HandedOver {
    fn drop(&mut self) {
        if self.devices.is_empty() {
            return;
        }
        // What can't be given back returns, or goes, with the namespace.
        let _ = inside(&self.namespace, || {
            let mut netlink = Netlink::open()?;
            for device in &self.devices {
                if let Ok(index) = netlink.index(device.name_inside()) {
                    let _ = netlink.move_to(index, self.host.as_fd(), device.name());
                }
            }
            Ok(())
        });
    }
}

/// Moves the devices of the caller's network namespace into this one and sets
/// them up there with their addresses.
pub(crate) fn hand_over(devices: &[NetDevice], namespace: Arc<OwnedFd>) -> Result<HandedOver> {
    let failed = |step: &'static str, device: &NetDevice| {
        let name = device.name().to_owned();
        move |error: io::Error| explained(Error::os(step, name, error))
    };
    let host = File::open("/proc/thread-self/ns/net")
        .map_err(|error| Error::os("open", "/proc/thread-self/ns/net", error))?;
    let open = |error| Error::os("socket", "NETLINK_ROUTE", error);
    let mut netlink = Netlink::open().map_err(open)?;
    let mut handed = HandedOver { devices: Vec::new(), host: host.into(), namespace };
    refuse_taken_names(devices, &handed.namespace)?;
    let mut addresses = Vec::with_capacity(devices.len());
    for device in devices {
        let index = netlink.index(device.name()).map_err(failed("find net device", device))?;
        let own = netlink.addresses(index).map_err(failed("read addresses", device))?;
        netlink
            .move_to(index, handed.namespace.as_fd(), device.name_inside())
            .map_err(failed("move net device", device))?;
        addresses.push(own);
        handed.devices.push(device.clone());
    }
    inside(&handed.namespace, || set_up(devices, &addresses))
        .map_err(|error| Error::os("set net devices up", names(devices), error))?;
    Ok(handed)
}

fn names(devices: &[NetDevice]) -> String {
    devices.iter().map(NetDevice::name_inside).collect::<Vec<_>>().join(", ")
}

fn explained(error: Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ENODEV) => error.hint("name a device of the caller's network namespace"),
        Some(libc::EPERM) => error.hint("moving a device takes CAP_NET_ADMIN on both sides"),
        Some(libc::EINVAL) => error.hint("the kernel does not let this kind of device be moved"),
        _ => error,
    }
}

/// A device that can't get its name would be lost half-way.
fn refuse_taken_names(devices: &[NetDevice], namespace: &OwnedFd) -> Result<()> {
    let taken = inside(namespace, || {
        let mut netlink = Netlink::open()?;
        Ok(devices.iter().find(|device| netlink.index(device.name_inside()).is_ok()))
    });
    match taken.map_err(|error| Error::os("setns", "net", error))? {
        None => Ok(()),
        Some(device) => Err(Error::with(
            ErrorKind::AlreadyExists,
            "move net device",
            device.name_inside(),
            "the container has a device of this name",
        )),
    }
}

fn set_up(devices: &[NetDevice], addresses: &[Vec<Address>]) -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    for (device, addresses) in devices.iter().zip(addresses) {
        let index = netlink.index(device.name_inside())?;
        for address in addresses {
            netlink.add_address(index, address)?;
        }
        netlink.up(index)?;
    }
    Ok(())
}

/// Runs this on a thread of its own in the network namespace; the caller's
/// threads stay where they are.
fn inside<T: Send>(
    namespace: &OwnedFd,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, || {
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
            work()
        })?;
        // A panic is the caller's bug to see, but not to die of.
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread ended early")))
    })
}
