//! Sockets, of every network namespace that a process is in: those of a container are not in the machine's own list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::Look;
use super::items::Items;
use super::mounts::{Raw, fields};
use super::processes::Network;

/// What is read of each list.
const LIMIT: u64 = 4 << 20;
const INTERNET: [&str; 6] = ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"];

/// A socket.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Socket {
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    /// Which open file of a process it is: `socket:[inode]`.
    inode: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

/// Lists the sockets of each network; of the machine's own where no process says in which it is.
pub(super) fn list(look: &mut Look<'_>, networks: &[Network], items: &mut Items) {
    if networks.is_empty() {
        return of(look, "proc/net", None, items);
    }
    for network in networks {
        of(look, &format!("proc/{}/net", network.pid), Some(&network.name), items);
    }
}

fn of(look: &mut Look<'_>, folder: &str, network: Option<&str>, items: &mut Items) {
    for protocol in INTERNET.into_iter().chain(["unix", "packet"]) {
        let (lines, cut) = look.lines(&format!("{folder}/{protocol}"), LIMIT);
        for line in lines.iter().skip(1) {
            match socket(protocol, line) {
                Some(socket) => items.add(&Socket { network: network.map(str::to_owned), ..socket }),
                None => items.add(&Raw::of(line)),
            }
        }
        if cut {
            items.cut_here();
        }
    }
}

fn socket(protocol: &'static str, line: &[u8]) -> Option<Socket> {
    let fields: Vec<String> = fields(line).take(12).collect();
    let field = |at: usize| fields.get(at).map(String::as_str);
    let uid = |at: usize| field(at)?.parse().ok();
    let inode = |at: usize| field(at)?.parse().ok();
    match protocol {
        // Num RefCount Protocol Flags Type St Inode Path
        "unix" => Some(Socket {
            protocol,
            state: Some(field(5)?.to_owned()),
            inode: Some(inode(6)?),
            path: field(7).map(str::to_owned),
            ..Socket::default()
        }),
        // sk RefCnt Type Proto Iface R Rmem User Inode
        "packet" => Some(Socket {
            protocol,
            local: Some(format!("interface {}", field(4)?)),
            uid: Some(uid(7)?),
            inode: Some(inode(8)?),
            ..Socket::default()
        }),
        // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
        _ => Some(Socket {
            protocol,
            local: Some(address(field(1)?)?),
            remote: Some(address(field(2)?)?),
            state: Some(state(protocol, field(3)?)),
            uid: Some(uid(7)?),
            inode: Some(inode(9)?),
            ..Socket::default()
        }),
    }
}

/// `0100007F:1F90`: words in the machine's byte order, and the port.
fn address(text: &str) -> Option<String> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(host.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let address: IpAddr = match host.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into()
        }
        _ => return None,
    };
    Some(std::net::SocketAddr::new(address, port).to_string())
}

/// The states of TCP by their numbers in the kernel; other protocols keep the number.
fn state(protocol: &str, number: &str) -> String {
    const STATES: [&str; 12] = [
        "established",
        "syn-sent",
        "syn-received",
        "fin-wait-1",
        "fin-wait-2",
        "time-wait",
        "closed",
        "close-wait",
        "last-ack",
        "listen",
        "closing",
        "new-syn-received",
    ];
    let named = usize::from_str_radix(number, 16).ok().and_then(|at| STATES.get(at.checked_sub(1)?));
    named.filter(|_| protocol.starts_with("tcp")).map_or_else(|| number.to_owned(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel of a little-endian machine writes it, whatever this one is.
    fn as_here(text: &str) -> String {
        let (host, port) = text.split_once(':').unwrap();
        let word = |at: usize| u32::from_str_radix(host.get(at..at + 8).unwrap(), 16).unwrap().to_le_bytes();
        let words: String = (0..host.len() / 8).map(|at| format!("{:08X}", u32::from_ne_bytes(word(at * 8)))).collect();
        format!("{words}:{port}")
    }

    #[test]
    fn addresses_are_read() {
        for (written, expected) in [
            ("0100007F:1F90", "127.0.0.1:8080"),
            ("0F02000A:BC0E", "10.0.2.15:48142"),
            ("00000000000000000000000001000000:0016", "[::1]:22"),
            ("B80D0120000000000000000001000000:0000", "[2001:db8::1]:0"),
        ] {
            assert_eq!(address(&as_here(written)).as_deref(), Some(expected));
        }
        for odd in ["", ":", "0100007F", "0100007F:10000", "zz00007F:0016", "01:0016", "é100007:0016"] {
            assert_eq!(address(odd), None, "{odd}");
        }
    }

    #[test]
    fn each_kind_of_socket_is_read_and_a_line_that_is_none_is_not() {
        let tcp = format!(
            "   0: {} 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0 12345 1 ff 100 0",
            as_here("0100007F:1F90")
        );
        let seen = socket("tcp", tcp.as_bytes()).unwrap();
        assert_eq!((seen.local.as_deref(), seen.state.as_deref()), (Some("127.0.0.1:8080"), Some("listen")));
        assert_eq!((seen.uid, seen.inode), (Some(1_000), Some(12_345)));
        assert_eq!(socket("udp", tcp.as_bytes()).unwrap().state.as_deref(), Some("0A"));
        let unix = socket("unix", b"ffff: 00000002 00000000 00010000 0001 01 4242 /run/x.sock").unwrap();
        assert_eq!((unix.inode, unix.path.as_deref()), (Some(4_242), Some("/run/x.sock")));
        let packet = socket("packet", b"ffff 3 3 0003 2 1 0 0 777").unwrap();
        assert_eq!((packet.inode, packet.uid), (Some(777), Some(0)));
        for protocol in ["tcp", "unix", "packet"] {
            for line in [&b""[..], b"a b c", b"\xff\xff\xff", &b"1 ".repeat(50_000)] {
                assert_eq!(socket(protocol, line).is_some(), protocol != "tcp" && line.len() > 1_000, "{protocol}");
            }
        }
    }
}
