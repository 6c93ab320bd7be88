//! Links, addresses and routes by rtnetlink, one request and one acknowledgement at a time.
//!
//! Invariant: a [`Links`] speaks to the network namespace in which it was opened, whoever uses it.

use crate::KernelError;
use crate::netns::NetNs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{
    AddressMessageBuilder, LinkBridge, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder,
};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

/// Hardware address of every bridge; each is alone in its segment. Without one of its own a bridge takes the lowest of
/// its ports', so that each new port could change it, and neighbours would go on sending to the old one.
const BRIDGE_ADDRESS: [u8; 6] = [0x02, 0x6d, 0x70, 0, 0, 1];

/// A connection to the links of one network namespace.
#[derive(Debug)]
pub struct Links(OwnedFd);

/// Where an end of a veth pair goes.
#[derive(Debug)]
pub struct VethEnd<'a> {
    /// Name of the link, at most 15 bytes.
    pub name: &'a str,
    /// Its namespace; none is that of the [`Links`].
    pub namespace: Option<&'a NetNs>,
}

/// Where packets of a route go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via<'a> {
    /// To this router.
    Gateway(Ipv4Addr),
    /// Straight onto this link.
    Link(&'a str),
}

impl Links {
    /// Opens a connection in the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// When netlink sockets are not allowed.
    pub fn open() -> Result<Self, KernelError> {
        let opened = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )
        .and_then(|fd| {
            bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
            Ok(fd)
        });
        opened
            .map(Self)
            .map_err(|error| KernelError::new("open a netlink socket", error))
    }

    /// Opens a connection inside `namespace`.
    ///
    /// # Errors
    ///
    /// As [`NetNs::run_in`] and [`Links::open`].
    pub fn open_in(namespace: &NetNs) -> Result<Self, KernelError> {
        namespace.run_in(Self::open)?
    }

    /// Makes a veth pair, each end in the namespace it names, both down.
    ///
    /// # Errors
    ///
    /// When a name is taken or too long.
    pub fn add_veth(&self, near: &VethEnd<'_>, far: &VethEnd<'_>) -> Result<(), KernelError> {
        let end = |end: &VethEnd<'_>| {
            let mut builder = LinkMessageBuilder::<LinkUnspec>::new().name(end.name);
            if let Some(namespace) = end.namespace {
                builder = builder.setns_by_fd(namespace.as_raw_fd());
            }
            builder
        };
        let message = {
            let mut builder = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth)
                .name(near.name);
            if let Some(namespace) = near.namespace {
                builder = builder.setns_by_fd(namespace.as_raw_fd());
            }
            builder
                .set_info_data(InfoData::Veth(InfoVeth::Peer(end(far).build())))
                .build()
        };
        self.request(
            &format!("add veth pair {} and {}", near.name, far.name),
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Makes a bridge and sets it up.
    ///
    /// # Errors
    ///
    /// When the name is taken or too long.
    pub fn add_bridge(&self, name: &str) -> Result<(), KernelError> {
        self.request(
            &format!("add bridge {name}"),
            RouteNetlinkMessage::NewLink(
                LinkBridge::new(name)
                    .address(BRIDGE_ADDRESS.to_vec())
                    .build(),
            ),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Makes `name` a port of `bridge`.
    ///
    /// # Errors
    ///
    /// When one of them does not exist.
    pub fn set_bridge(&self, name: &str, bridge: &str) -> Result<(), KernelError> {
        let message = self
            .unspecified(name)?
            .controller(self.index(bridge)?)
            .build();
        self.request(
            &format!("make {name} a port of {bridge}"),
            RouteNetlinkMessage::NewLink(message),
            0,
        )
    }

    /// Sets a link up.
    ///
    /// # Errors
    ///
    /// When it does not exist.
    pub fn set_up(&self, name: &str) -> Result<(), KernelError> {
        let message = self.unspecified(name)?.up().build();
        self.request(
            &format!("set {name} up"),
            RouteNetlinkMessage::NewLink(message),
            0,
        )
    }

    /// Sets a link down: nothing passes it until it is [up](Self::set_up) again.
    ///
    /// # Errors
    ///
    /// When it does not exist.
    pub fn set_down(&self, name: &str) -> Result<(), KernelError> {
        let message = self.unspecified(name)?.down().build();
        self.request(
            &format!("set {name} down"),
            RouteNetlinkMessage::NewLink(message),
            0,
        )
    }

    /// Removes a link; both ends of a veth pair go together.
    ///
    /// # Errors
    ///
    /// When it does not exist.
    pub fn delete(&self, name: &str) -> Result<(), KernelError> {
        let message = self.unspecified(name)?.build();
        self.request(
            &format!("delete {name}"),
            RouteNetlinkMessage::DelLink(message),
            0,
        )
    }

    /// Gives a link an address with its prefix length.
    ///
    /// # Errors
    ///
    /// When it does not exist or has the address already.
    pub fn add_address(
        &self,
        name: &str,
        address: Ipv4Addr,
        prefix: u8,
    ) -> Result<(), KernelError> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(self.index(name)?)
            .address(address, prefix)
            .build();
        self.request(
            &format!("give {name} the address {address}/{prefix}"),
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Adds or replaces a route; the default route is `0.0.0.0/0`.
    ///
    /// # Errors
    ///
    /// When the gateway cannot be reached or the link does not exist or is down.
    pub fn add_route(
        &self,
        destination: Ipv4Addr,
        prefix: u8,
        via: Via<'_>,
    ) -> Result<(), KernelError> {
        let builder =
            RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(destination, prefix);
        let message = match via {
            Via::Gateway(gateway) => builder.gateway(gateway).build(),
            Via::Link(name) => builder
                .output_interface(self.index(name)?)
                .scope(RouteScope::Link)
                .build(),
        };
        self.request(
            &format!("add route {destination}/{prefix} via {via:?}"),
            RouteNetlinkMessage::NewRoute(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    /// The index of a link.
    ///
    /// # Errors
    ///
    /// When it does not exist.
    pub fn index(&self, name: &str) -> Result<u32, KernelError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().name(name).build();
        let act = format!("look up link {name}");
        match self.exchange(&act, RouteNetlinkMessage::GetLink(message), 0)? {
            Some(link) => Ok(link.header.index),
            None => Err(KernelError::new(
                act,
                io::Error::from(io::ErrorKind::NotFound),
            )),
        }
    }

    /// The hardware address of a link.
    ///
    /// # Errors
    ///
    /// When it does not exist.
    pub fn hardware_address(&self, name: &str) -> Result<Vec<u8>, KernelError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().name(name).build();
        let act = format!("look up link {name}");
        let link = self.exchange(&act, RouteNetlinkMessage::GetLink(message), 0)?;
        link.into_iter()
            .flat_map(|link| link.attributes)
            .find_map(|attribute| match attribute {
                LinkAttribute::Address(address) => Some(address),
                _ => None,
            })
            .ok_or_else(|| KernelError::new(act, io::Error::from(io::ErrorKind::NotFound)))
    }

    fn unspecified(&self, name: &str) -> Result<LinkMessageBuilder<LinkUnspec>, KernelError> {
        Ok(LinkMessageBuilder::<LinkUnspec>::new().index(self.index(name)?))
    }

    fn request(
        &self,
        act: &str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), KernelError> {
        self.exchange(act, message, flags).map(drop)
    }

    /// Sends one request and reads to its acknowledgement, keeping the last link that comes before it.
    fn exchange(
        &self,
        act: &str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Option<LinkMessage>, KernelError> {
        let fail = |error: io::Error| KernelError::new(act, error);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        request.finalize();
        let mut buffer = vec![0; request.buffer_len()];
        request.serialize(&mut buffer);
        send(self.0.as_raw_fd(), &buffer, MsgFlags::empty()).map_err(|error| fail(error.into()))?;

        let mut link = None;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())
                .map_err(|error| fail(error.into()))?;
            let mut rest = &buffer[..length];
            while rest.len() >= 16 {
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|error| fail(io::Error::other(error)))?;
                // Messages are padded to four bytes.
                let taken = (answer.header.length as usize).next_multiple_of(4);
                rest = rest.get(taken..).unwrap_or_default();
                match answer.payload {
                    NetlinkPayload::Error(error) => {
                        return match error.code {
                            None => Ok(link),
                            Some(_) => Err(fail(error.to_io())),
                        };
                    }
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(found)) => {
                        link = Some(found);
                    }
                    _ => {}
                }
            }
        }
    }
}
