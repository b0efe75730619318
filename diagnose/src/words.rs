//! What each kind of failure means, and what to check next.

use tower_bad_gateway::FailureKind;

/// `{next}` is what the hop that tells has asked, `{by}` is that hop.
pub(crate) struct Words {
    /// Goes on after the name of the hop that tells.
    pub(crate) says: &'static str,
    pub(crate) means: &'static str,
    pub(crate) checks: &'static [&'static str],
}

/// A kind that is younger than this table has the words of `Unclassified`.
#[rustfmt::skip] // a table
pub(crate) fn words(kind: FailureKind) -> Words {
    use FailureKind as Kind;
    let (says, means, checks): (_, _, &[_]) = match kind {
        Kind::DnsTimeout => ("did not learn the address of {next} in time", "The name server did not answer: not even whether the name exists is known.",
            &["Does the name server that {by} asks answer? Ask it on that machine, by dig.", "Is UDP and TCP port 53 open from there?"]),
        Kind::DnsError => ("could not resolve the name of {next}", "{next} has no known address: the last attempt sent nothing.",
            &["Is the name of {next} spelled correctly in the configuration of {by}?", "Does the name exist where {by} runs (dig, getent hosts), in its namespace and search domains?"]),
        Kind::DestinationNotFound => ("does not know where to send this request", "No rule matches the host and path that were asked.",
            &["Are host and path of the request those of a route of {by}?", "Has {by} loaded the configuration that you think it has?"]),
        Kind::DestinationUnavailable => ("holds {next} to be down, or had it refuse the request unprocessed", "It may well work in a moment.",
            &["What do the health checks of {by} say, and do they ask the right path?", "Is {next} running, ready, and not just being restarted?"]),
        Kind::DestinationIpProhibited => ("may not connect to {next}", "A rule forbids that address: a policy, or a firewall on that machine.",
            &["Does the name of {next} resolve to the address you expect, not to a private one?", "Which policy or firewall on {by} names that address?"]),
        Kind::DestinationIpUnroutable => ("has no route to {next}", "No packet gets there: the network, not the service, is broken.",
            &["Is the machine of {next} up, and its address still the same?", "Do routes, VPN and security groups lead from {by} there (ip route get)?"]),
        Kind::ConnectionRefused => ("could not connect to {next}: connection refused", "The machine is there, but nothing takes connections on that port.",
            &["Is {next} running? Look at its log for why it ended.", "Does it listen on the port that {by} asks, and not on localhost alone (ss -ltn)?", "Does a firewall reject the connection?"]),
        Kind::ConnectionTerminated => ("was cut off by {next} before there was a complete answer", "The connection was made, then closed or reset, in the TLS handshake or later. The request may have been processed.",
            &["Did {next} crash, or was it restarted or killed for its memory, at that moment?", "Does it close idle connections sooner than {by} does? Its keep-alive limit should be the longer one."]),
        Kind::ConnectionTimeout => ("could not connect to {next} in time", "The connection, or the TLS handshake on it, was not done in time: packets are dropped, or the machine is too busy.",
            &["Is the machine of {next} up, and the address right?", "Does a firewall or security group drop packets from {by}?", "Is its queue of connections full (ss -ltn)?"]),
        Kind::ConnectionReadTimeout => ("heard nothing more from {next} for too long", "It began, and then fell silent. The request may have been processed.",
            &["What was {next} waiting for: a database, a lock, another service?", "Is the idle limit of {by} shorter than the longest honest pause?", "Does the log of {by} say how much had come, as in '40 of 100 bytes'? Then {next} may say a wrong Content-Length."]),
        Kind::ConnectionWriteTimeout => ("could not get the request sent to {next} in time", "It took the connection, but does not read from it.",
            &["Is {next} stuck or out of threads?", "Is the upload larger than it takes?"]),
        Kind::ConnectionLimitReached => ("takes no more requests for {next} at the moment: a limit was reached", "It protects itself, or what is behind it. It may well work later.",
            &["Is there more traffic than usual, or are the answers slower than usual?", "Is the limit of {by} as it should be?", "Has {by} descriptors and ports left for more connections, and does it have the address that it is told to connect from?"]),
        Kind::TlsProtocolError => ("could not set up TLS with {next}", "The connection was made, but there was no agreement on TLS.",
            &["Does {next} speak TLS on that port at all? Try http:// or the other port.", "Have both sides a TLS version and a cipher in common (openssl s_client -connect)?"]),
        Kind::TlsCertificateError => ("does not accept the certificate of {next}", "It was reached, but it could not prove who it is: the last attempt sent nothing.",
            &["Has the certificate of {next} run out?", "Is it for the name that {by} asks for?", "Does {by} trust its issuer, and does it send the whole chain (openssl s_client -showcerts)?"]),
        Kind::TlsAlertReceived => ("was refused by {next} during TLS", "The other side sent a TLS alert: it wants something that {by} did not give.",
            &["Does {next} ask for a client certificate?", "Does it know the server name (SNI) that {by} sends?"]),
        Kind::HttpRequestError => ("did not receive this request completely, or not correctly", "The fault is on the side of the client, or on the way from it.",
            &["Is the request complete, and within the limits of {by}?", "Was the upload slower than {by} waits?"]),
        Kind::HttpRequestDenied => ("refuses this request", "A rule of {by} forbids it. {next} was not asked.",
            &["Which rule of {by} (firewall, access list) matches this client, host or path?"]),
        Kind::HttpResponseIncomplete => ("got only a part of the answer of {next}", "It ended before its length was reached, or before its last chunk.",
            &["Did {next} crash while it wrote the answer?", "Does it say a wrong Content-Length?"]),
        Kind::HttpResponseHeaderSectionSize | Kind::HttpResponseHeaderSize => ("got larger header fields from {next} than it takes", "There was an answer, but it could not be passed on.",
            &["Does {next} set many or growing cookies, or a long Location or policy field?", "Is the header limit of {by} as it should be?"]),
        Kind::HttpResponseBodySize => ("got a larger answer from {next} than it takes", "There was an answer, but it could not be passed on.",
            &["Is the answer of {next} as large as it should be?", "Is the body limit of {by} as it should be?"]),
        Kind::HttpResponseTrailerSectionSize | Kind::HttpResponseTrailerSize => ("got larger trailer fields from {next} than it takes", "The body had come, its end could not be passed on.",
            &["What does {next} put into its trailers?", "Is the trailer limit of {by} as it should be?"]),
        Kind::HttpResponseTransferCoding => ("could not decode the transfer coding of {next}", "The chunks of the answer are not as HTTP wants them.",
            &["Does {next} write chunks by hand, or name a coding other than chunked?", "Ask it directly: curl --raw -v."]),
        Kind::HttpResponseContentCoding => ("could not decode the content coding of {next}", "What is said to be gzip, or the like, is none.",
            &["Does {next}, or a cache, mix up Content-Encoding?", "Ask it directly with and without Accept-Encoding."]),
        Kind::HttpResponseTimeout => ("got no complete answer from {next} in time", "The answer took too long; where no limit is set for connecting, there may never have been a connection. The request may have been processed.",
            &["What is {next} doing: a slow query, a lock, a full queue, another slow service?", "Is the time limit of {by} longer than the slowest honest answer?"]),
        Kind::HttpUpgradeFailed => ("could not switch protocols with {next}", "A WebSocket or another upgrade was not done as it was asked, or was done unasked.",
            &["Does {next} speak that protocol on this path?", "Does {by} pass Connection and Upgrade on?"]),
        Kind::HttpProtocolError => ("got no valid HTTP from {next}", "Something answered, but it broke the rules of HTTP.",
            &["Is it the right port? Another protocol, or TLS, may be spoken there.", "Ask {next} directly (curl -v) and look at what it sends."]),
        Kind::ProxyInternalResponse => ("answered by itself, without asking {next}", "{by} is made to answer so.",
            &["Which rule of {by} answers this host and path?"]),
        Kind::ProxyInternalError => ("failed itself", "The fault is inside of {by}: a bug, or no memory left.",
            &["What does the log of {by} say at that moment?", "Has it enough memory?"]),
        Kind::ProxyConfigurationError => ("is not configured correctly", "{by} cannot ask {next} as it is told to.",
            &["Which change of the configuration of {by} was the last?", "What does its log say at that moment?"]),
        Kind::ProxyLoopDetected => ("got its own request back: it goes round in a loop", "A hop behind {by} sends the request back to {by}, or to one before it.",
            &["Where does {next} send this host and path? It should not be the public name.", "Does that name resolve differently inside (split DNS)?"]),
        // `ReceivedStatus` is no type of `Proxy-Status`: it can come in a body only.
        Kind::ReceivedStatus => ("got an error from {next}, and replaced it", "What is behind {by} was reached, and answered an error of its own.",
            &["What does the log of {next} say at that moment?"]),
        _ => ("got no valid answer from {next}", "It could not be reached, or did not answer properly; which of them is not told.",
            &["What does the log of {by} say at that moment?", "Is {next} running, and can {by} reach it?"]),
    };
    Words { says, means, checks }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gateway tells of its last attempt: one before it may have been taken.
    #[test]
    fn no_gateway_is_made_to_promise_that_nothing_was_sent() {
        let promises = ["No request was sent", "was not processed", "Nothing was processed", "sent again"];
        let wrong: Vec<_> = FailureKind::ALL
            .iter()
            .map(|kind| (kind, words(*kind).means))
            .filter(|(_, means)| {
                promises.iter().any(|promise| means.contains(promise)) && !means.contains("he last attempt")
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn every_kind_has_words_of_its_own() {
        let unclassified = words(FailureKind::Unclassified).says;
        let without: Vec<_> = FailureKind::ALL
            .iter()
            .filter(|kind| **kind != FailureKind::Unclassified && words(**kind).says == unclassified)
            .collect();
        assert!(without.is_empty(), "{without:?}");
    }
}
