//! The network: a bridge and a published port as root, loopback alone as an ordinary user.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use container_net::{Endpoint, EndpointOptions, ErrorKind, Network, Port, limitation};

use crate::inside::PORT;
use crate::made::Made;
use crate::story::Told;
use crate::{Result, ensure};

/// A network, or why there is none.
pub(crate) enum Link {
    /// To the host.
    Bridge(Network),
    /// To itself.
    Loopback,
}

/// Makes the bridge.
pub(crate) fn make(told: &mut Told, made: &mut Made, name: &str) -> Result<Link> {
    let left_out = match limitation() {
        Some(limitation) => limitation.to_string(),
        None => match Network::bridge(name).create().wait() {
            Ok(network) => {
                made.link("bridge", name);
                let (subnet, gateway) = (network.subnet(), network.gateway());
                told.say(format!("bridge {name}, {subnet} by {gateway}, masqueraded"));
                return Ok(Link::Bridge(network));
            }
            Err(error) if error.kind() == ErrorKind::KernelLacks => {
                format!("the container's loopback alone; the bridge was left out: {error}")
            }
            Err(error) => return Err(error.into()),
        },
    };
    told.say(left_out);
    Ok(Link::Loopback)
}

/// Connects the container and publishes its port on the host's own address only.
pub(crate) fn connect(
    told: &mut Told,
    made: &mut Made,
    network: &Network,
    netns: impl AsFd,
) -> Result<(Endpoint, SocketAddr)> {
    let port = Port::tcp(0, PORT).on(Ipv4Addr::LOCALHOST);
    let endpoint = network.connect(netns, EndpointOptions::new().publish(port)).wait()?;
    made.link("veth", endpoint.host_interface());
    let port = endpoint.ports().first().ok_or("no port was published")?;
    let address = SocketAddr::V4(SocketAddrV4::new(port.address(), port.host()));
    made.note("port", port, move || TcpStream::connect(address).is_err());
    told.say(format!("{} has {}, published as {port}", endpoint.interface(), endpoint.address()));
    Ok((endpoint, address))
}

/// Takes both back, in the order in which they stand on each other.
pub(crate) fn remove(link: Link, endpoint: Option<Endpoint>) -> Result<()> {
    if let Some(endpoint) = endpoint {
        endpoint.disconnect().wait()?;
    }
    match link {
        Link::Bridge(network) => Ok(network.remove().wait()?),
        Link::Loopback => Ok(()),
    }
}

/// How long a paused server is waited for.
pub(crate) const PAUSE: Duration = Duration::from_millis(150);

/// Asserts that `ask` fails by running out of time, not otherwise.
pub(crate) fn stays_silent(ask: impl FnOnce(Duration) -> Result<String>) -> Result<()> {
    let start = std::time::Instant::now();
    let answer = ask(PAUSE);
    ensure(answer.is_err() && start.elapsed() >= PAUSE, || {
        format!("the paused container answered: {answer:?}")
    })
}
