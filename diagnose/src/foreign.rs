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
    /// The page is one of its own; why it was shown is not told.
    Own,
}

/// The first rule that fits.
pub(crate) fn sign(status: u16, headers: &HeaderMap, body: &[u8]) -> Option<Sign> {
    let Rule(product, .., says, look) = RULES.get(rule(status, headers, body)?)?;
    Some(Sign { product, says: *says, look })
}

fn rule(status: u16, headers: &HeaderMap, body: &[u8]) -> Option<usize> {
    RULES.iter().position(|Rule(_, statuses, field, text, ..)| {
        (statuses.is_empty() || statuses.contains(&status)) && field.fits(headers) && text.fits(status, body)
    })
}

/// Envoy adds how long the hop behind it took to what that one has answered, and to nothing else.
pub(crate) fn is_relayed(headers: &HeaderMap) -> bool {
    headers.contains_key("x-envoy-upstream-service-time")
}

/// What stands in the header section.
enum Field {
    Any,
    /// There is one of this name that contains this.
    Holds(&'static str, &'static str),
    /// There is one of this name, and no second one, and it is this.
    Is(&'static str, &'static str),
}

impl Field {
    fn fits(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Any => true,
            Self::Holds(name, part) => headers.get_all(*name).iter().any(|field| contains(field.as_bytes(), part)),
            Self::Is(name, value) => {
                let mut fields = headers.get_all(*name).iter().map(|field| field.as_bytes());
                let is_it = fields.next().is_some_and(|field| field.eq_ignore_ascii_case(value.as_bytes()));
                is_it && fields.next().is_none()
            }
        }
    }
}

/// What stands in the body.
enum Text {
    Any,
    Empty,
    Holds(&'static str),
    /// It begins as the errors of Envoy do, which are easily quoted, and holds this.
    Envoy(&'static str),
}

impl Text {
    fn fits(&self, status: u16, body: &[u8]) -> bool {
        let start = |length: usize| body.get(..length).unwrap_or(body);
        match self {
            Self::Any => true,
            Self::Empty => body.is_empty(),
            Self::Holds(part) => contains(start(LONGEST_LOOK), part),
            Self::Envoy(part) => {
                let is_envoy = ENVOY_BEGINS.iter().any(|begin| contains(start(SHORTEST_LOOK), begin));
                status >= 500 && is_envoy && contains(start(LONGEST_LOOK), part)
            }
        }
    }
}

/// Without regard to case; everything contains nothing.
fn contains(text: &[u8], part: &str) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

/// Error pages are short.
const LONGEST_LOOK: usize = 16 * 1024;

/// What a page begins with stands here, with some room for what wraps it.
const SHORTEST_LOOK: usize = 128;

const ENVOY_BEGINS: [&str; 3] =
    ["upstream connect error or disconnect/reset", "no healthy upstream", "upstream request timeout"];

/// Product, statuses (none: all), what stands in a field, what stands in the body, what it says, where to look.
struct Rule(&'static str, &'static [u16], Field, Text, Says, &'static str);

const ANY: Field = Field::Any;
const ENVOY: &str =
    "Look at the response flags (UF, UH, UT, UC, UPE) in its access log, and at /clusters of its admin port.";
const NGINX: &str = "Look into its error.log for \"connect() failed\", \"no live upstreams\", \"upstream prematurely closed\", \"upstream sent\", \"SSL_do_handshake() failed\" or \"could not be resolved\".";
const NGINX_LATE: &str =
    "Look into its error.log for \"upstream timed out\": it goes on with \"while connecting\" or \"while reading\".";
const NGINX_503: &str = "Look into its error.log for \"limiting requests\" or \"limiting connections\", and into its configuration for \"return 503\" and \"error_page\"; an ingress answers so for a service that has no endpoints.";
const NGINX_500: &str = "Look into its error.log for \"auth request unexpected status\" or \"rewrite or internal redirection cycle\", and into its configuration for \"return 500\" and \"error_page\".";
const NGINX_OWN: &str = "Look into its error.log, and at the location that fits this path.";
const NGINX_TLS: &str = "That port speaks TLS: ask https:// instead.";
const HAPROXY: &str = "Look at the termination state in its log: SC and sC are the connection, sQ its queue, SH and PH the head, sH its time limit.";
const HAPROXY_503: &str = "It got no connection: every server is down, one refused or was too late, or the queue was full. The termination state in its log says which: SC, sC or sQ.";
const APACHE: &str = "Look into its error_log for proxy:error (AH00957, AH01102, AH01114).";
const APACHE_READ: &str = "Look into its error_log for proxy:error (AH00898, AH01102): it says so of a connection that was closed and of one that was silent for too long.";
const CADDY: &str = "Look into its log for http.log.error.";
const KONG: &str = "Look into its error.log, by the request_id of the answer.";
const VARNISH: &str = "Look for FetchError in varnishlog, by the XID of the page.";
const TRAEFIK: &str = "Look at the servers of that service in its dashboard, and into its log at level DEBUG.";
const CLOUDFLARE: &str = "Ask the origin directly, past Cloudflare; its support needs the cf-ray.";
const ALB: &str = "Look into its access log: with target_status_code \"-\" it is the balancer that failed, otherwise its target. See also the health of the target group.";
const ALB_OWN: &str = "Look at error_reason and actions_executed in its access log: a rule with a fixed answer, or its sign-in (561), does that.";
const CLOUDFRONT: &str = "Look at x-edge-detailed-result-type in its log.";
const GOOGLE: &str = "Look at statusDetails in the log of the load balancer.";

use FailureKind as Kind;
use Says::{Failed, Own};

#[rustfmt::skip] // a table
const RULES: &[Rule] = &[
    // Envoy says most; its words come before its field, which a hop in front of it may have replaced.
    Rule("Envoy", &[], ANY, Text::Envoy("delayed connect error: 111"), Failed(Kind::ConnectionRefused), ENVOY),
    Rule("Envoy", &[502, 503], ANY, Text::Envoy("CERTIFICATE_VERIFY_FAILED"), Failed(Kind::TlsCertificateError), ENVOY),
    Rule("Envoy", &[], ANY, Text::Envoy("transport failure reason: TLS"), Failed(Kind::TlsProtocolError), ENVOY),
    Rule("Envoy", &[], ANY, Text::Envoy("reset reason: connection timeout"), Failed(Kind::ConnectionTimeout), ENVOY),
    Rule("Envoy", &[], ANY, Text::Envoy("reset reason: connection termination"), Failed(Kind::ConnectionTerminated), ENVOY),
    Rule("Envoy", &[], ANY, Text::Envoy("reset reason: remote reset"), Failed(Kind::ConnectionTerminated), ENVOY),
    Rule("Envoy", &[], ANY, Text::Envoy("reset reason: overflow"), Failed(Kind::ConnectionLimitReached), ENVOY),
    Rule("Envoy", &[], ANY, Text::Envoy("reset reason: protocol error"), Failed(Kind::HttpProtocolError), ENVOY),
    Rule("Envoy", &[], ANY, Text::Envoy("upstream connect error or disconnect/reset before headers"), Failed(Kind::Unclassified), ENVOY),
    Rule("Envoy", &[503], ANY, Text::Envoy("no healthy upstream"), Failed(Kind::DestinationUnavailable), ENVOY),
    Rule("Envoy", &[504], ANY, Text::Envoy("upstream request timeout"), Failed(Kind::HttpResponseTimeout), ENVOY),
    Rule("Envoy", &[503], Field::Holds("x-envoy-overloaded", ""), Text::Any, Failed(Kind::ConnectionLimitReached), ENVOY),

    Rule("nginx", &[400], ANY, Text::Holds("The plain HTTP request was sent to HTTPS port"), Own, NGINX_TLS),
    Rule("nginx", &[502], ANY, Text::Holds("<center>nginx"), Failed(Kind::Unclassified), NGINX),
    Rule("nginx", &[504], ANY, Text::Holds("<center>nginx"), Failed(Kind::HttpResponseTimeout), NGINX_LATE),
    Rule("nginx", &[503], ANY, Text::Holds("<center>nginx"), Own, NGINX_503),
    Rule("nginx", &[500], ANY, Text::Holds("<center>nginx"), Own, NGINX_500),
    Rule("nginx", &[], ANY, Text::Holds("<center>nginx"), Own, NGINX_OWN),
    Rule("OpenResty", &[502], ANY, Text::Holds("<center>openresty"), Failed(Kind::Unclassified), NGINX),
    Rule("OpenResty", &[504], ANY, Text::Holds("<center>openresty"), Failed(Kind::HttpResponseTimeout), NGINX_LATE),
    Rule("OpenResty", &[503], ANY, Text::Holds("<center>openresty"), Own, NGINX_503),
    Rule("OpenResty", &[500], ANY, Text::Holds("<center>openresty"), Own, NGINX_500),
    Rule("OpenResty", &[], ANY, Text::Holds("<center>openresty"), Own, NGINX_OWN),

    Rule("HAProxy", &[503], ANY, Text::Holds("No server is available to handle this request"), Failed(Kind::Unclassified), HAPROXY_503),
    Rule("HAProxy", &[504], ANY, Text::Holds("The server didn't respond in time"), Failed(Kind::HttpResponseTimeout), HAPROXY),
    Rule("HAProxy", &[502], ANY, Text::Holds("The server returned an invalid or incomplete response"), Failed(Kind::Unclassified), HAPROXY),
    Rule("HAProxy", &[408], ANY, Text::Holds("Your browser didn't send a complete request in time"), Failed(Kind::HttpRequestError), HAPROXY),
    Rule("HAProxy", &[403], ANY, Text::Holds("Request forbidden by administrative rules"), Failed(Kind::HttpRequestDenied), HAPROXY),
    Rule("HAProxy", &[429], ANY, Text::Holds("You have sent too many requests in a given amount of time"), Own, HAPROXY),

    Rule("Cloudflare", &[520], Field::Holds("server", "cloudflare"), Text::Any, Failed(Kind::Unclassified), CLOUDFLARE),
    Rule("Cloudflare", &[521], Field::Holds("server", "cloudflare"), Text::Any, Failed(Kind::ConnectionRefused), CLOUDFLARE),
    Rule("Cloudflare", &[522], Field::Holds("server", "cloudflare"), Text::Any, Failed(Kind::ConnectionTimeout), CLOUDFLARE),
    Rule("Cloudflare", &[523], Field::Holds("server", "cloudflare"), Text::Any, Failed(Kind::DestinationIpUnroutable), CLOUDFLARE),
    Rule("Cloudflare", &[524], Field::Holds("server", "cloudflare"), Text::Any, Failed(Kind::HttpResponseTimeout), CLOUDFLARE),
    Rule("Cloudflare", &[525], Field::Holds("server", "cloudflare"), Text::Any, Failed(Kind::TlsProtocolError), CLOUDFLARE),
    Rule("Cloudflare", &[526], Field::Holds("server", "cloudflare"), Text::Any, Failed(Kind::TlsCertificateError), CLOUDFLARE),
    Rule("Cloudflare", &[530], Field::Holds("server", "cloudflare"), Text::Holds("1016"), Failed(Kind::DnsError), CLOUDFLARE),
    Rule("Cloudflare", &[530], Field::Holds("server", "cloudflare"), Text::Any, Failed(Kind::Unclassified), CLOUDFLARE),
    Rule("Cloudflare", &[502], Field::Holds("server", "cloudflare"), Text::Holds("<center>cloudflare"), Failed(Kind::Unclassified), CLOUDFLARE),
    Rule("Cloudflare", &[504], Field::Holds("server", "cloudflare"), Text::Holds("<center>cloudflare"), Failed(Kind::HttpResponseTimeout), CLOUDFLARE),

    Rule("AWS load balancer", &[502], Field::Holds("server", "awselb/"), Text::Any, Failed(Kind::Unclassified), ALB),
    Rule("AWS load balancer", &[503], Field::Holds("server", "awselb/"), Text::Any, Failed(Kind::DestinationUnavailable), ALB),
    Rule("AWS load balancer", &[504], Field::Holds("server", "awselb/"), Text::Any, Failed(Kind::HttpResponseTimeout), ALB),
    Rule("AWS load balancer", &[], Field::Holds("server", "awselb/"), Text::Any, Own, ALB_OWN),
    Rule("CloudFront", &[502], Field::Holds("x-cache", "error from cloudfront"), Text::Holds("wasn't able to connect to the origin"), Failed(Kind::Unclassified), CLOUDFRONT),
    Rule("CloudFront", &[504], Field::Holds("x-cache", "error from cloudfront"), Text::Holds("generated by cloudfront"), Failed(Kind::HttpResponseTimeout), CLOUDFRONT),
    Rule("Google load balancer", &[502], Field::Holds("via", "1.1 google"), Text::Holds("The server encountered a temporary error"), Failed(Kind::Unclassified), GOOGLE),

    Rule("Apache httpd", &[], ANY, Text::Holds("Reason: <strong>DNS lookup failure for"), Failed(Kind::DnsError), APACHE),
    Rule("Apache httpd", &[502], ANY, Text::Holds("Error reading from remote server"), Failed(Kind::Unclassified), APACHE_READ),
    Rule("Apache httpd", &[502], ANY, Text::Holds("The proxy server received an invalid"), Failed(Kind::Unclassified), APACHE),
    Rule("Apache httpd", &[504], ANY, Text::Holds("The gateway did not receive a timely response"), Failed(Kind::HttpResponseTimeout), APACHE),
    Rule("Kong", &[502], ANY, Text::Holds("An invalid response was received from the upstream server"), Failed(Kind::Unclassified), KONG),
    Rule("Kong", &[504], ANY, Text::Holds("The upstream server is timing out"), Failed(Kind::HttpResponseTimeout), KONG),
    Rule("Varnish", &[503], ANY, Text::Holds("Backend fetch failed"), Failed(Kind::Unclassified), VARNISH),
    Rule("Traefik", &[503], ANY, Text::Holds("no available server"), Failed(Kind::DestinationUnavailable), TRAEFIK),
    Rule("Caddy", &[502, 503], Field::Is("server", "caddy"), Text::Empty, Failed(Kind::Unclassified), CADDY),
    Rule("Caddy", &[504], Field::Is("server", "caddy"), Text::Empty, Failed(Kind::HttpResponseTimeout), CADDY),
];

#[cfg(test)]
mod tests;
