//! The pods' name server: services of the cluster, and nothing else.
//!
//! A name outside the cluster's domain is answered at once with NXDOMAIN: the cluster is sealed, and a resolver that
//! waits would make every search list slow.

use crate::service_table::{ServiceTable, ServiceView, Services};
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Port of name servers.
const PORT: u16 = 53;

/// How long an answer may be kept, in seconds: short, since endpoints come and go.
const TTL: u32 = 5;

/// Largest answer over UDP to somebody who asks for no more, in bytes.
const UDP_LIMIT: usize = 512;

/// Both sockets of the server.
#[derive(Debug)]
pub(crate) struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

/// Opens the sockets.
pub(crate) async fn bind(address: Ipv4Addr) -> io::Result<Sockets> {
    Ok(Sockets {
        udp: UdpSocket::bind((address, PORT)).await?,
        tcp: TcpListener::bind((address, PORT)).await?,
    })
}

/// Answers for ever.
pub(crate) async fn serve(sockets: Sockets, domain: String, services: ServiceTable) {
    let domain: Arc<str> = domain.trim_end_matches('.').to_ascii_lowercase().into();
    tokio::join!(
        serve_udp(&sockets.udp, &domain, &services),
        serve_tcp(&sockets.tcp, &domain, &services)
    );
}

async fn serve_udp(socket: &UdpSocket, domain: &str, services: &ServiceTable) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let Some((answer, limit)) = answer(&buffer[..length], domain, &services.current()) else {
            continue;
        };
        let bytes = match answer.to_vec() {
            Ok(bytes) if bytes.len() <= limit => bytes,
            _ => answer.truncate().to_vec().unwrap_or_default(),
        };
        // The asker may be gone.
        let _ = socket.send_to(&bytes, from).await;
    }
}

async fn serve_tcp(listener: &TcpListener, domain: &Arc<str>, services: &ServiceTable) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (domain, services) = (domain.clone(), services.clone());
                tokio::spawn(async move {
                    let _ = serve_connection(stream, &domain, &services).await;
                });
            }
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn serve_connection(
    mut stream: TcpStream,
    domain: &str,
    services: &ServiceTable,
) -> io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut query = vec![0; usize::from(length)];
        stream.read_exact(&mut query).await?;
        let Some((answer, _)) = answer(&query, domain, &services.current()) else {
            return Ok(());
        };
        let bytes = answer.to_vec().map_err(io::Error::other)?;
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        stream
            .write_all(&[&length.to_be_bytes(), &bytes[..]].concat())
            .await?;
    }
}

/// The answer to a query and its largest size over UDP; none when it is no query at all.
fn answer(query: &[u8], domain: &str, services: &Services) -> Option<(Message, usize)> {
    let query = Message::from_vec(query).ok()?;
    if query.metadata.message_type != MessageType::Query {
        return None;
    }
    let limit = query
        .edns
        .as_ref()
        .map_or(UDP_LIMIT, |edns| usize::from(edns.max_payload()));
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.metadata.authoritative = true;
    answer.add_queries(query.queries.iter().cloned());
    let (OpCode::Query, [question]) = (query.metadata.op_code, query.queries.as_slice()) else {
        answer.metadata.response_code = ResponseCode::NotImp;
        return Some((answer, limit));
    };
    match look_up(&question.name, question.query_type, domain, services) {
        Some(data) => {
            answer.add_answers(
                data.into_iter()
                    .map(|data| Record::from_rdata(question.name.clone(), TTL, data)),
            );
        }
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    Some((answer, limit))
}

/// The records of a name: none when there is no such name, empty when it has none of that type.
fn look_up(name: &Name, kind: RecordType, domain: &str, services: &Services) -> Option<Vec<RData>> {
    let text = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let inside = text.strip_suffix(domain)?;
    if inside.is_empty() {
        return Some(Vec::new());
    }
    let inside = inside.strip_suffix('.')?;
    let mut labels: Vec<&str> = inside.split('.').collect();
    if labels.pop() != Some("svc") {
        return None;
    }
    let namespace = labels.pop();
    let Some(service) = labels.pop() else {
        // `svc` and `NAMESPACE.svc` exist as names between others.
        let known = |namespace| services.0.keys().any(|(known, _)| known == namespace);
        return namespace.is_none_or(known).then(Vec::new);
    };
    let view = services
        .0
        .get(&(namespace?.to_owned(), service.to_owned()))?;
    match labels.as_slice() {
        [] => Some(of_service(view, kind)),
        [host] => of_endpoint(view, host, kind),
        [port, protocol] => {
            let (port, protocol) = (port.strip_prefix('_')?, protocol.strip_prefix('_')?);
            of_port(view, port, protocol, name, kind)
        }
        _ => None,
    }
}

fn addresses(found: impl Iterator<Item = Ipv4Addr>, kind: RecordType) -> Vec<RData> {
    if kind == RecordType::A {
        found.map(|address| RData::A(A(address))).collect()
    } else {
        Vec::new()
    }
}

fn of_service(view: &ServiceView, kind: RecordType) -> Vec<RData> {
    if let Some(target) = &view.external_name {
        let target = Name::from_ascii(target).ok();
        return target
            .map(|target| RData::CNAME(hickory_proto::rr::rdata::CNAME(target)))
            .into_iter()
            .collect();
    }
    match view.address {
        Some(address) => addresses(std::iter::once(address), kind),
        None => addresses(view.endpoints.iter().map(|endpoint| endpoint.address), kind),
    }
}

/// `HOST.SERVICE...`: a pod of a headless service, by host name or dashed address.
fn of_endpoint(view: &ServiceView, host: &str, kind: RecordType) -> Option<Vec<RData>> {
    let found: Vec<Ipv4Addr> = view
        .endpoints
        .iter()
        .filter(|endpoint| {
            endpoint.host_name.as_deref() == Some(host)
                || endpoint.address.to_string().replace('.', "-") == host
        })
        .map(|endpoint| endpoint.address)
        .collect();
    (!found.is_empty()).then(|| addresses(found.into_iter(), kind))
}

/// `_PORT._PROTOCOL.SERVICE...`.
fn of_port(
    view: &ServiceView,
    port: &str,
    protocol: &str,
    name: &Name,
    kind: RecordType,
) -> Option<Vec<RData>> {
    let port = view
        .ports
        .iter()
        .find(|known| known.name == port && known.protocol == protocol)?;
    if kind != RecordType::SRV {
        return Some(Vec::new());
    }
    let service = name.trim_to(usize::from(name.num_labels()).saturating_sub(2));
    Some(vec![RData::SRV(SRV::new(0, 100, port.port, service))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service_table::{EndpointView, ServicePortView};
    use std::collections::BTreeMap;

    fn services() -> Services {
        let endpoint = |last: u8| EndpointView {
            address: Ipv4Addr::new(10, 1, 0, last),
            host_name: (last == 2).then(|| "db-0".to_owned()),
            ..Default::default()
        };
        let web = ServiceView {
            address: Some(Ipv4Addr::new(10, 96, 0, 9)),
            ports: vec![ServicePortView {
                name: "http".to_owned(),
                port: 80,
                ..Default::default()
            }],
            endpoints: vec![endpoint(1)],
            ..Default::default()
        };
        let headless = ServiceView {
            endpoints: vec![endpoint(1), endpoint(2)],
            ..Default::default()
        };
        let key = |name: &str| ("shop".to_owned(), name.to_owned());
        Services(BTreeMap::from([(key("web"), web), (key("db"), headless)]))
    }

    fn ask(name: &str, kind: RecordType) -> Option<Vec<String>> {
        let name = Name::from_ascii(name).unwrap();
        let found = look_up(&name, kind, "cluster.local", &services())?;
        Some(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn services_have_their_address_and_headless_ones_their_endpoints() {
        assert_eq!(
            ask("WEB.shop.svc.cluster.local.", RecordType::A).unwrap(),
            ["10.96.0.9"]
        );
        assert_eq!(
            ask("db.shop.svc.cluster.local.", RecordType::A).unwrap(),
            ["10.1.0.1", "10.1.0.2"]
        );
        assert_eq!(
            ask("db-0.db.shop.svc.cluster.local.", RecordType::A).unwrap(),
            ["10.1.0.2"]
        );
        assert_eq!(
            ask("10-1-0-1.db.shop.svc.cluster.local.", RecordType::A).unwrap(),
            ["10.1.0.1"]
        );
    }

    #[test]
    fn an_existing_name_without_such_a_record_is_empty_not_missing() {
        assert_eq!(
            ask("web.shop.svc.cluster.local.", RecordType::AAAA)
                .unwrap()
                .len(),
            0
        );
        assert_eq!(
            ask("shop.svc.cluster.local.", RecordType::A).unwrap().len(),
            0
        );
    }

    #[test]
    fn other_names_do_not_exist() {
        assert_eq!(ask("none.shop.svc.cluster.local.", RecordType::A), None);
        assert_eq!(
            ask(
                "web.shop.svc.cluster.local.shop.svc.cluster.local.",
                RecordType::A
            ),
            None
        );
        assert_eq!(ask("example.com.", RecordType::A), None);
        assert_eq!(ask("notcluster.local.", RecordType::A), None);
    }

    #[test]
    fn ports_have_service_records() {
        let found = ask("_http._tcp.web.shop.svc.cluster.local.", RecordType::SRV).unwrap();
        assert_eq!(found, ["0 100 80 web.shop.svc.cluster.local."]);
    }

    #[test]
    fn a_query_is_answered_with_its_number_and_question() {
        let mut query = Message::query();
        let name = Name::from_ascii("web.shop.svc.cluster.local.").unwrap();
        query.add_query(hickory_proto::op::Query::query(name, RecordType::A));
        let bytes = query.to_vec().unwrap();
        let (answer, _) = answer(&bytes, "cluster.local", &services()).unwrap();
        let again = Message::from_vec(&answer.to_vec().unwrap()).unwrap();
        assert_eq!(again.metadata.id, query.metadata.id);
        assert_eq!(again.queries, query.queries);
        assert_eq!(again.answers.len(), 1);
        assert_eq!(again.metadata.response_code, ResponseCode::NoError);
    }
}
