//! The names of upstreams: as the system looks them up, but not for ever.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, LazyLock},
    time::Duration,
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use tower_bad_gateway::{
    BoxError, Failure, FailureKind,
    failure::{Phase, RetrySafety},
};

/// How many names are looked up at once. The system cannot be told to stop, so a lookup that was given up goes on, in a thread.
static LOOKUPS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(32)));

/// As the system does, but for names that are made not to be known (RFC 6761, section 6.4): for them nobody has to be asked.
pub(crate) async fn resolve(name: Name, limit: Duration) -> Result<vec::IntoIter<SocketAddr>, BoxError> {
    let host = name.as_str().trim_end_matches('.');
    if host.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("invalid")) {
        return Err("no such name".into());
    }
    let lookup = async {
        let permit = Arc::clone(&LOOKUPS).acquire_owned().await?;
        let addresses = spawn_blocking(move || {
            let _permit = permit;
            (name.as_str(), 0).to_socket_addrs()
        });
        addresses.await?.map_err(|error| match error.raw_os_error() {
            // The number is of a file or a socket that the lookup needs on this machine: what the name has is no error of the system.
            Some(_) => failure(FailureKind::ConnectionLimitReached).with_source(error).into(),
            None => BoxError::from(error),
        })
    };
    timeout(limit, lookup).await.unwrap_or_else(|_| Err(failure(FailureKind::DnsTimeout).into()))
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind).with_phase(Phase::Resolve).with_retry_safety(RetrySafety::NotSent)
}
