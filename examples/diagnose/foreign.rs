//! Gateways that have no `Proxy-Status`, by their default pages and fields. What was configured otherwise looks different.

use http::HeaderMap;
use tower_bad_gateway::FailureKind;

/// What is known of an answer by its looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sign {
    /// Who wrote it, or passed it on.
    pub(crate) product: &'static str,
    pub(crate) says: Says,
    /// Where it tells more.
    pub(crate) look: &'static str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Says {
    /// It tells of a failure; `Unclassified`: not of which.
    Failed(FailureKind),
    /// The page is its own, and nothing failed behind it.
    Own,
    /// Somebody behind it has answered.
    Relayed,
}

/// The first rule that fits.
pub(crate) fn sign(status: u16, headers: &HeaderMap, body: &[u8]) -> Option<Sign> {
    let start = body.get(..LONGEST_LOOK).unwrap_or(body);
    let fits = |rule: &&Rule| {
        let Rule(_, statuses, (name, value), text, ..) = rule;
        (statuses.is_empty() || statuses.contains(&status))
            && (name.is_empty() || headers.get_all(*name).iter().any(|field| contains(field.as_bytes(), value)))
            && contains(start, text)
    };
    let Rule(product, _, _, _, says, look) = RULES.iter().find(fits)?;
    Some(Sign { product, says: *says, look })
}

/// Without regard to case; everything contains nothing.
fn contains(text: &[u8], part: &str) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

/// Error pages are short.
const LONGEST_LOOK: usize = 16 * 1024;

/// Product, statuses, a field and what stands in it, what stands in the body, what it says, where to look. What is empty fits all.
struct Rule(&'static str, &'static [u16], (&'static str, &'static str), &'static str, Says, &'static str);

const ANY: (&str, &str) = ("", "");
const ENVOY: &str =
    "Look at the response flags (UF, UH, UT, UC, UPE) in its access log, and at /clusters of its admin port.";
const NGINX: &str = "Look into its error.log for \"connect() failed\", \"no live upstreams\", \"upstream prematurely closed\", \"upstream sent\", \"SSL_do_handshake() failed\" or \"could not be resolved\".";
const NGINX_LATE: &str =
    "Look into its error.log for \"upstream timed out\": it goes on with \"while connecting\" or \"while reading\".";
const NGINX_BUSY: &str = "Look into its error.log for \"limiting requests\" or \"limiting connections\", and into its configuration for \"return 503\".";
const NGINX_OWN: &str = "Look into its error.log, and at the location that fits this path.";
const NGINX_TLS: &str = "That port speaks TLS: ask https:// instead.";
const HAPROXY: &str = "Look at the termination state in its log: SC and sC are the connection, sQ its queue, SH and PH the head, sH its time limit.";
const HAPROXY_503: &str = "It got no connection: every server is down, one refused or was too late, or the queue was full. The termination state in its log says which: SC, sC or sQ.";
const APACHE: &str = "Look into its error_log for proxy:error (AH00957, AH01102, AH01114).";
const CADDY: &str = "Look into its log for http.log.error.";
const KONG: &str = "Look into its error.log, by the request_id of the answer.";
const VARNISH: &str = "Look for FetchError in varnishlog, by the XID of the page.";
const TRAEFIK: &str = "Look at the servers of that service in its dashboard, and into its log at level DEBUG.";
const CLOUDFLARE: &str = "Ask the origin directly, past Cloudflare; its support needs the cf-ray.";
const ALB: &str = "Look into its access log: with target_status_code \"-\" it is the balancer that failed, otherwise its target. See also the health of the target group.";
const CLOUDFRONT: &str = "Look at x-edge-detailed-result-type in its log.";
const GOOGLE: &str = "Look at statusDetails in the log of the load balancer.";

use FailureKind as Kind;
use Says::{Failed, Own, Relayed};

#[rustfmt::skip] // a table
const RULES: &[Rule] = &[
    // Envoy says most; its words come before its field, which a hop in front of it may have replaced.
    Rule("Envoy", &[], ANY, "delayed connect error: 111", Failed(Kind::ConnectionRefused), ENVOY),
    Rule("Envoy", &[502, 503], ANY, "CERTIFICATE_VERIFY_FAILED", Failed(Kind::TlsCertificateError), ENVOY),
    Rule("Envoy", &[], ANY, "transport failure reason: TLS", Failed(Kind::TlsProtocolError), ENVOY),
    Rule("Envoy", &[], ANY, "reset reason: connection timeout", Failed(Kind::ConnectionTimeout), ENVOY),
    Rule("Envoy", &[], ANY, "reset reason: connection termination", Failed(Kind::ConnectionTerminated), ENVOY),
    Rule("Envoy", &[], ANY, "reset reason: remote reset", Failed(Kind::ConnectionTerminated), ENVOY),
    Rule("Envoy", &[], ANY, "reset reason: overflow", Failed(Kind::ConnectionLimitReached), ENVOY),
    Rule("Envoy", &[], ANY, "reset reason: protocol error", Failed(Kind::HttpProtocolError), ENVOY),
    Rule("Envoy", &[], ANY, "upstream connect error or disconnect/reset before headers", Failed(Kind::Unclassified), ENVOY),
    Rule("Envoy", &[503], ANY, "no healthy upstream", Failed(Kind::DestinationUnavailable), ENVOY),
    Rule("Envoy", &[504], ANY, "upstream request timeout", Failed(Kind::HttpResponseTimeout), ENVOY),
    Rule("Envoy", &[503], ("x-envoy-overloaded", ""), "", Failed(Kind::ConnectionLimitReached), ENVOY),
    Rule("Envoy", &[], ("x-envoy-upstream-service-time", ""), "", Relayed, ENVOY),

    Rule("nginx", &[400], ANY, "The plain HTTP request was sent to HTTPS port", Own, NGINX_TLS),
    Rule("nginx", &[502], ANY, "<center>nginx", Failed(Kind::Unclassified), NGINX),
    Rule("nginx", &[504], ANY, "<center>nginx", Failed(Kind::HttpResponseTimeout), NGINX_LATE),
    Rule("nginx", &[503], ANY, "<center>nginx", Failed(Kind::ConnectionLimitReached), NGINX_BUSY),
    Rule("nginx", &[500], ANY, "<center>nginx", Failed(Kind::ProxyInternalError), NGINX_OWN),
    Rule("nginx", &[], ANY, "<center>nginx", Own, NGINX_OWN),
    Rule("OpenResty", &[502], ANY, "<center>openresty", Failed(Kind::Unclassified), NGINX),
    Rule("OpenResty", &[504], ANY, "<center>openresty", Failed(Kind::HttpResponseTimeout), NGINX_LATE),
    Rule("OpenResty", &[500], ANY, "<center>openresty", Failed(Kind::ProxyInternalError), NGINX_OWN),
    Rule("OpenResty", &[], ANY, "<center>openresty", Own, NGINX_OWN),

    Rule("HAProxy", &[503], ANY, "No server is available to handle this request", Failed(Kind::Unclassified), HAPROXY_503),
    Rule("HAProxy", &[504], ANY, "The server didn't respond in time", Failed(Kind::HttpResponseTimeout), HAPROXY),
    Rule("HAProxy", &[502], ANY, "The server returned an invalid or incomplete response", Failed(Kind::Unclassified), HAPROXY),
    Rule("HAProxy", &[408], ANY, "Your browser didn't send a complete request in time", Failed(Kind::HttpRequestError), HAPROXY),
    Rule("HAProxy", &[403], ANY, "Request forbidden by administrative rules", Failed(Kind::HttpRequestDenied), HAPROXY),
    Rule("HAProxy", &[429], ANY, "You have sent too many requests in a given amount of time", Own, HAPROXY),

    Rule("Cloudflare", &[520], ("server", "cloudflare"), "", Failed(Kind::Unclassified), CLOUDFLARE),
    Rule("Cloudflare", &[521], ("server", "cloudflare"), "", Failed(Kind::ConnectionRefused), CLOUDFLARE),
    Rule("Cloudflare", &[522], ("server", "cloudflare"), "", Failed(Kind::ConnectionTimeout), CLOUDFLARE),
    Rule("Cloudflare", &[523], ("server", "cloudflare"), "", Failed(Kind::DestinationIpUnroutable), CLOUDFLARE),
    Rule("Cloudflare", &[524], ("server", "cloudflare"), "", Failed(Kind::HttpResponseTimeout), CLOUDFLARE),
    Rule("Cloudflare", &[525], ("server", "cloudflare"), "", Failed(Kind::TlsProtocolError), CLOUDFLARE),
    Rule("Cloudflare", &[526], ("server", "cloudflare"), "", Failed(Kind::TlsCertificateError), CLOUDFLARE),
    Rule("Cloudflare", &[530], ("server", "cloudflare"), "1016", Failed(Kind::DnsError), CLOUDFLARE),
    Rule("Cloudflare", &[530], ("server", "cloudflare"), "", Failed(Kind::Unclassified), CLOUDFLARE),
    Rule("Cloudflare", &[502], ("server", "cloudflare"), "<center>cloudflare", Failed(Kind::Unclassified), CLOUDFLARE),
    Rule("Cloudflare", &[504], ("server", "cloudflare"), "<center>cloudflare", Failed(Kind::HttpResponseTimeout), CLOUDFLARE),

    Rule("AWS load balancer", &[502], ("server", "awselb/"), "", Failed(Kind::Unclassified), ALB),
    Rule("AWS load balancer", &[503], ("server", "awselb/"), "", Failed(Kind::DestinationUnavailable), ALB),
    Rule("AWS load balancer", &[504], ("server", "awselb/"), "", Failed(Kind::HttpResponseTimeout), ALB),
    Rule("AWS load balancer", &[], ("server", "awselb/"), "", Own, ALB),
    Rule("CloudFront", &[502], ("x-cache", "error from cloudfront"), "wasn't able to connect to the origin", Failed(Kind::Unclassified), CLOUDFRONT),
    Rule("CloudFront", &[504], ("x-cache", "error from cloudfront"), "generated by cloudfront", Failed(Kind::HttpResponseTimeout), CLOUDFRONT),
    Rule("Google load balancer", &[502], ("via", "1.1 google"), "The server encountered a temporary error", Failed(Kind::Unclassified), GOOGLE),

    Rule("Apache httpd", &[], ANY, "Reason: <strong>DNS lookup failure for", Failed(Kind::DnsError), APACHE),
    Rule("Apache httpd", &[502], ANY, "Error reading from remote server", Failed(Kind::ConnectionTerminated), APACHE),
    Rule("Apache httpd", &[502], ANY, "The proxy server received an invalid", Failed(Kind::Unclassified), APACHE),
    Rule("Apache httpd", &[504], ANY, "The gateway did not receive a timely response", Failed(Kind::HttpResponseTimeout), APACHE),
    Rule("Kong", &[502], ANY, "An invalid response was received from the upstream server", Failed(Kind::Unclassified), KONG),
    Rule("Kong", &[504], ANY, "The upstream server is timing out", Failed(Kind::HttpResponseTimeout), KONG),
    Rule("Varnish", &[503], ANY, "Backend fetch failed", Failed(Kind::Unclassified), VARNISH),
    Rule("Traefik", &[503], ANY, "no available server", Failed(Kind::DestinationUnavailable), TRAEFIK),
    Rule("Caddy", &[502, 503], ("server", "caddy"), "", Failed(Kind::Unclassified), CADDY),
    Rule("Caddy", &[504], ("server", "caddy"), "", Failed(Kind::HttpResponseTimeout), CADDY),
];
