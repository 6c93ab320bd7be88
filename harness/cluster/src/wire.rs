//! What connections carry on their way between data centers, told from the beginnings of their packets.
//!
//! Invariant: pure. What a caller says is TLS only if every packet that carries something begins with a TLS record. What it is
//! answered may be long, and a packet then begins within a record: that is TLS if the first packet seen begins with one.

use harness_model::history::{Spoken, WireConnection};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The shortest header of IPv4, and of TCP.
const SHORTEST: usize = 20;

/// The connections that carried something, each direction for itself, in the order of their addresses. `packets` begin with
/// IPv4 headers and may be cut off after 60 + 60 bytes of headers and a few of what they carry.
pub(crate) fn connections(caller: Ipv4Addr, packets: &[Vec<u8>]) -> Vec<WireConnection> {
    let mut spoken: BTreeMap<(SocketAddrV4, SocketAddrV4), Spoken> = BTreeMap::new();
    for packet in packets.iter().filter_map(|packet| read(packet)) {
        let seen = if begins_record(packet.carries) {
            Spoken::Tls
        } else {
            Spoken::Plaintext
        };
        let known = spoken.entry((packet.from, packet.to)).or_insert(seen);
        if seen == Spoken::Plaintext && *packet.from.ip() == caller {
            *known = seen;
        }
    }
    spoken
        .into_iter()
        .map(|((from, to), spoken)| WireConnection {
            from: from.to_string(),
            to: to.to_string(),
            spoken,
        })
        .collect()
}

struct Packet<'a> {
    from: SocketAddrV4,
    to: SocketAddrV4,
    carries: &'a [u8],
}

/// A packet of TCP over IPv4 (RFC 791, RFC 9293) that carries something.
fn read(packet: &[u8]) -> Option<Packet<'_>> {
    let first = *packet.first()?;
    let header = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header < SHORTEST || *packet.get(9)? != 6 {
        return None;
    }
    // A later fragment has no header of TCP.
    if u16::from_be_bytes(packet.get(6..8)?.try_into().ok()?) & 0x1fff != 0 {
        return None;
    }
    let whole = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
    let address = |at: usize| -> Option<Ipv4Addr> {
        let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
        Some(octets.into())
    };
    let port = |at: usize| -> Option<u16> {
        Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?))
    };
    let offset = usize::from(*packet.get(header + 12)? >> 4) * 4;
    if offset < SHORTEST {
        return None;
    }
    // Short frames are padded; large ones that the kernel has not cut yet may say a length of 0.
    let end = if whole == 0 {
        packet.len()
    } else {
        whole.min(packet.len())
    };
    let carries = packet.get(header + offset..end)?;
    if carries.is_empty() {
        return None;
    }
    Some(Packet {
        from: SocketAddrV4::new(address(12)?, port(header)?),
        to: SocketAddrV4::new(address(16)?, port(header + 2)?),
        carries,
    })
}

/// A content type, a version of the protocol, and a length that a record can have (RFC 8446, 5.1 and 5.2).
fn begins_record(carries: &[u8]) -> bool {
    const LONGEST: u16 = (1 << 14) + 256;
    match carries {
        [20..=23, 3, 0..=4, high, low, ..] => {
            (1..=LONGEST).contains(&u16::from_be_bytes([*high, *low]))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    /// A packet from 10.0.0.1:1000 to 10.0.0.2:`to`, with options in both headers.
    fn packet(to: u16, carries: &[u8]) -> Vec<u8> {
        let whole = u16::try_from(24 + 32 + carries.len()).expect("short");
        let mut packet = vec![0x46, 0];
        packet.extend(whole.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        packet.extend([0; 4]);
        packet.extend(1000_u16.to_be_bytes());
        packet.extend(to.to_be_bytes());
        packet.extend([0; 8]);
        packet.extend([0x80, 0x18]);
        packet.extend([0; 18]);
        packet.extend(carries);
        packet
    }

    fn record(kind: u8, length: u16) -> Vec<u8> {
        let mut record = vec![kind, 3, 3];
        record.extend(length.to_be_bytes());
        record.extend(b"anything");
        record
    }

    #[test]
    fn a_connection_is_one_of_tls_only_if_every_packet_begins_a_record() {
        let packets = [
            packet(1, b""),
            packet(1, &record(22, 300)),
            packet(1, &record(23, 40)),
            packet(2, b"GET / HTTP/1.1\r\n"),
            packet(3, &record(22, 300)),
            packet(3, b"PRI * HTTP/2.0\r\n"),
            packet(4, &record(23, 17_000)),
            packet(5, &record(24, 40)),
            packet(6, b""),
        ];
        let found: Vec<(String, Spoken)> = connections(CALLER, &packets)
            .into_iter()
            .map(|connection| {
                assert_eq!(connection.from, "10.0.0.1:1000");
                (connection.to, connection.spoken)
            })
            .collect();
        let expected = [
            (1, Spoken::Tls),
            (2, Spoken::Plaintext),
            (3, Spoken::Plaintext),
            (4, Spoken::Plaintext),
            (5, Spoken::Plaintext),
        ];
        assert_eq!(
            found,
            expected.map(|(port, spoken)| (format!("10.0.0.2:{port}"), spoken))
        );
    }

    #[test]
    fn padding_fragments_and_what_is_cut_off_are_no_content() {
        let mut padded = packet(1, b"");
        padded.extend([0; 6]);
        let mut fragment = packet(1, b"content");
        fragment[7] = 1;
        let mut cut = packet(1, b"content");
        cut.truncate(40);
        let mut other = packet(1, b"content");
        other[9] = 17;
        let packets = [padded, fragment, cut, other, vec![]];
        assert_eq!(connections(CALLER, &packets), []);
    }

    #[test]
    fn an_answer_is_what_its_first_packet_begins_with() {
        let packets = [
            packet(1, &record(22, 3000)),
            packet(1, b"the rest of the record"),
            packet(2, b"HTTP/1.1 200 OK\r\n"),
            packet(2, &record(23, 40)),
        ];
        let somebody_else = Ipv4Addr::new(10, 0, 0, 9);
        let found = connections(somebody_else, &packets);
        let spoken: Vec<Spoken> = found.iter().map(|connection| connection.spoken).collect();
        assert_eq!(spoken, [Spoken::Tls, Spoken::Plaintext]);
        let said = connections(CALLER, &packets);
        assert!(said.iter().all(|said| said.spoken == Spoken::Plaintext));
    }
}
