//! Looking at packets that pass a link, without touching them: a packet socket (packet(7)) with a filter in the kernel.
//!
//! Invariant: what the kernel had to drop because nobody read in time is told, so that nobody takes the rest for all.

use crate::KernelError;
use nix::net::if_::if_nametoindex;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// How much of each packet is kept: more than headers of IPv4 and TCP can be long, and the beginning of what they carry.
const KEPT: u32 = 192;

/// For how much of what nobody has read yet the kernel is asked to have room.
const BUFFER: libc::c_int = 8 << 20;

/// What one address sends and gets over one link.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
}

/// What a [`Tap`] has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The beginnings of packets, from their IPv4 headers on, in their order.
    pub packets: Vec<Vec<u8>>,
    /// How many more there were, that nobody knows anything of.
    pub dropped: u32,
}

impl Tap {
    /// Looks from now on at TCP over IPv4 that leaves by `link` of the calling thread's network namespace from the address `own`,
    /// and that arrives by it for that address.
    ///
    /// # Errors
    ///
    /// When there is no such link, or the kernel has no packet sockets or does not let us have one.
    pub fn open(link: &str, own: Ipv4Addr) -> Result<Self, KernelError> {
        let act = format!("look at what passes {link}");
        let last = |act: &str| KernelError::new(act, io::Error::last_os_error());
        let index = if_nametoindex(link).map_err(|error| KernelError::new(&*act, error))?;
        // Nothing arrives before the filter is there: a protocol of 0 takes no packet.
        // SAFETY: makes a descriptor of its own from plain numbers.
        let socket = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                0,
            )
        };
        if socket < 0 {
            return Err(last(&act));
        }
        // SAFETY: the descriptor is new and nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        let mut filter = filter(own);
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).expect("a handful"),
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: `program` and the instructions that it points to live until the call returns; the kernel copies them.
        let attached = unsafe {
            set(&socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
                // Only a larger buffer: with a smaller one more may be dropped, which is told.
                .map(|()| {
                    let _ = set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &BUFFER);
                })
        };
        attached.map_err(|error| KernelError::new(&*act, error))?;
        // SAFETY: an all-zero `sockaddr_ll` is a valid one.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).expect("a small number");
        // Packets that leave are shown to those only who take every protocol.
        address.sll_protocol = u16::try_from(libc::ETH_P_ALL)
            .expect("a small number")
            .to_be();
        address.sll_ifindex = i32::try_from(index).expect("a small number");
        let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).expect("small");
        // SAFETY: the address is one of this length and lives until the call returns.
        let bound = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                std::ptr::from_ref(&address).cast(),
                length,
            )
        };
        if bound < 0 {
            return Err(last(&act));
        }
        Ok(Self { socket })
    }

    /// Everything seen since the last call.
    ///
    /// # Errors
    ///
    /// When the socket cannot be read.
    pub fn seen(&self) -> Result<Seen, KernelError> {
        let act = "read packets";
        let mut seen = Seen::default();
        let mut packet = [0; KEPT as usize];
        loop {
            // SAFETY: the buffer is as long as is said, and the address of the sender is not asked for.
            let length = unsafe {
                libc::recv(
                    self.socket.as_raw_fd(),
                    packet.as_mut_ptr().cast(),
                    packet.len(),
                    0,
                )
            };
            if let Ok(length) = usize::try_from(length) {
                seen.packets
                    .push(packet[..length.min(packet.len())].to_vec());
                continue;
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock => break,
                io::ErrorKind::Interrupted => {}
                _ => return Err(KernelError::new(act, error)),
            }
        }
        // SAFETY: an all-zero `tpacket_stats` is a valid one.
        let mut statistics: libc::tpacket_stats = unsafe { zeroed() };
        let mut length =
            libc::socklen_t::try_from(size_of::<libc::tpacket_stats>()).expect("small");
        // SAFETY: the kernel writes at most `length` bytes, which is what the structure has. Reading resets the counts.
        let told = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                std::ptr::from_mut(&mut statistics).cast(),
                &raw mut length,
            )
        };
        if told < 0 {
            return Err(KernelError::new(act, io::Error::last_os_error()));
        }
        seen.dropped = statistics.tp_drops;
        Ok(seen)
    }
}

/// Sets a socket's option.
///
/// # Safety
///
/// Pointers within `value` must be valid for what the kernel does with this option until the call returns.
unsafe fn set<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).expect("small");
    // SAFETY: `value` is as long as is said; for what it points to the caller answers.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            length,
        )
    };
    if set < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Classic BPF over a packet that begins with its IPv4 header: version 4, TCP, and from `own` where it is on its way out, for it
/// where it is not.
fn filter(own: Ipv4Addr) -> [libc::sock_filter; 13] {
    // linux/bpf_common.h: LD, JMP and RET with what they need here.
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_WORD: u16 = 0x20;
    const AND: u16 = 0x54;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP: u16 = 0x05;
    const RETURN: u16 = 0x06;
    // SKF_AD_OFF + SKF_AD_PKTTYPE, and PACKET_OUTGOING.
    const PACKET_TYPE: u32 = 0xffff_f000 + 4;
    const OUTGOING: u32 = 4;
    let statement = |code, k| libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    };
    // `else_skip`: how many instructions to go on at, when it is another value.
    let must_be = |k, else_skip| libc::sock_filter {
        code: JUMP_EQUAL,
        jt: 0,
        jf: else_skip,
        k,
    };
    [
        statement(LOAD_BYTE, 0),
        statement(AND, 0xf0),
        must_be(0x40, 9),
        statement(LOAD_BYTE, 9),
        must_be(6, 7),
        statement(LOAD_BYTE, PACKET_TYPE),
        must_be(OUTGOING, 2),
        statement(LOAD_WORD, 12),
        statement(JUMP, 1),
        statement(LOAD_WORD, 16),
        must_be(u32::from(own), 1),
        statement(RETURN, KEPT),
        statement(RETURN, 0),
    ]
}
