//! The descriptors of the process, shared out between clients, upstreams and all else, so that neither side takes those of the others.

/// For the log, the listeners, the runtime, lookups and those who ask by `--admin`.
const BESIDES: u64 = 200;
/// More clients than this want a gateway that is no example.
const MOST_CLIENTS: usize = 10_000;

/// How many connections each side may have.
pub(crate) struct Share {
    pub(crate) clients: usize,
    pub(crate) upstreams: usize,
}

/// Shares out what the system gives: to the clients as many as are asked for, but no more than half, since each may need another one towards
/// the upstream.
pub(crate) fn share(asked: Option<usize>) -> Share {
    // The soft limit is low for the sake of programs that cannot have many.
    let all = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024).saturating_sub(BESIDES);
    let half = number(all / 2).max(1);
    let clients = asked.unwrap_or(MOST_CLIENTS).min(half);
    if let Some(asked) = asked.filter(|asked| *asked > clients) {
        tracing::warn!(asked, clients, "--max-connections: the system has no descriptors for so many");
    }
    Share { clients, upstreams: number(all).saturating_sub(clients).clamp(1, MOST_CONNECTIONS) }
}

/// As many as tokio can count.
pub(crate) const MOST_CONNECTIONS: usize = 1_000_000;

fn number(number: u64) -> usize {
    usize::try_from(number).unwrap_or(MOST_CONNECTIONS)
}
