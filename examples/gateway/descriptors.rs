//! The descriptors of the process, shared out between clients, upstreams and all else, so that neither side takes those of the others.

/// For the log, the listeners, the runtime, lookups and those who ask by `--admin`.
const BESIDES: u64 = 100;
/// More clients than this want a gateway that is no example.
const MOST_CLIENTS: u64 = 10_000;

/// How many connections each side may have.
pub(crate) struct Share {
    pub(crate) clients: usize,
    pub(crate) upstreams: usize,
}

/// Shares out what the system gives: half of it to the clients, if nothing else is asked for.
pub(crate) fn share(clients: Option<usize>) -> Share {
    // The soft limit is low for the sake of programs that cannot have many.
    let all = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024).saturating_sub(BESIDES);
    let clients = clients.unwrap_or(number((all / 2).clamp(1, MOST_CLIENTS)));
    let upstreams = number(all).saturating_sub(clients);
    if upstreams == 0 {
        tracing::warn!(clients, "the system has no descriptors for so many clients and their upstream");
    }
    Share { clients, upstreams: upstreams.clamp(1, MOST_CONNECTIONS) }
}

/// As many as tokio can count.
pub(crate) const MOST_CONNECTIONS: usize = 1_000_000;

fn number(number: u64) -> usize {
    usize::try_from(number).unwrap_or(MOST_CONNECTIONS)
}
