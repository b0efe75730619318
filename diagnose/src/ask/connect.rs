//! The addresses of a name, and the first of them that takes a connection.

use std::{io, net::SocketAddr};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tower_bad_gateway::{BoxError, Failure, FailureKind};

/// As the system does, but for names that are made not to be known (RFC 6761, section 6.4): for them nobody has to be asked.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let unknown = |source: BoxError| Failure::new(FailureKind::DnsError).with_source(source);
    let host = host.trim_matches(['[', ']']);
    if host.trim_end_matches('.').rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("invalid")) {
        return Err(unknown("no such name".into()));
    }
    let addresses: Vec<_> =
        tokio::net::lookup_host((host, port)).await.map_err(|error| unknown(error.into()))?.collect();
    if addresses.is_empty() { Err(unknown("it has no address".into())) } else { Ok(addresses) }
}

/// The first address that takes the connection; one that is silent leaves some of the time to the others.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    until: Instant,
    missed: &mut Vec<(SocketAddr, Failure)>,
) -> Result<TcpStream, Failure> {
    for (others, &address) in (1..=addresses.len()).rev().zip(addresses) {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(others).unwrap_or(u32::MAX);
        let failure = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            // The system's own limit; the error does not know what it was that took so long.
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                Failure::new(FailureKind::ConnectionTimeout).with_source(error)
            }
            Ok(Err(error)) => Failure::from_error(error),
            Err(_) => Failure::new(FailureKind::ConnectionTimeout),
        };
        missed.push((address, failure));
    }
    Err(most_telling(missed))
}

/// A name may have an address that this computer has no route to: another one that answers, even by refusing, says more.
pub(super) fn most_telling(missed: &[(SocketAddr, Failure)]) -> Failure {
    let rank = |failure: &Failure| match failure.kind() {
        FailureKind::ConnectionRefused => 0,
        FailureKind::ConnectionTerminated => 1,
        FailureKind::ConnectionTimeout => 3,
        FailureKind::DestinationIpProhibited => 4,
        FailureKind::DestinationIpUnroutable => 5,
        // Without IPv6 its addresses fail by the first of these.
        FailureKind::ConnectionLimitReached | FailureKind::ProxyInternalError => 6,
        _ => 2,
    };
    let failures = missed.iter().map(|(_, failure)| failure);
    failures.min_by_key(|failure| rank(failure)).cloned().unwrap_or_else(|| Failure::new(FailureKind::DnsError))
}
