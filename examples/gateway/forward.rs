//! From the request a client sent to the one the upstream gets.

use std::{
    error::Error,
    fmt,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, MAX_FORWARDS, TE, TRANSFER_ENCODING, UPGRADE, VIA,
    },
    uri::{Authority, Scheme},
};
use http_body::Body;
use tower_bad_gateway::{Failure, FailureKind, context::RequestId};

use crate::{options::Options, upstream::Embedded};

/// The identifier of a request, for the upstream.
pub(crate) const ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where a client brings the token of `--disclose-to`.
pub(crate) const DEBUG: HeaderName = HeaderName::from_static("x-debug");

/// The address of a client, in the extensions of its requests.
#[derive(Clone)]
pub(crate) struct Peer {
    address: IpAddr,
    /// The same, as the upstream gets it.
    value: HeaderValue,
}

impl Peer {
    pub(crate) fn new(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let value = HeaderValue::try_from(address.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self { address, value }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Rewrites requests for one upstream.
pub(crate) struct Forward {
    scheme: Scheme,
    authority: Authority,
    /// Paths of the embedded upstream that lead elsewhere.
    detours: Vec<(&'static str, Scheme, Authority)>,
    version: Version,
    /// The name in Via. No other gateway on the way may have it: it tells a request that comes round.
    name: String,
    /// What goes into Via for requests that came by HTTP/1.0, HTTP/1.1 and HTTP/2.
    via: [HeaderValue; 3],
    trust_forwarded: bool,
    /// Whether the token of `--disclose-to` is for this gateway, and not for the upstream.
    has_token: bool,
}

impl Forward {
    /// Everything to one upstream.
    pub(crate) fn to(upstream: &Uri, options: &Options) -> Result<Self, Box<dyn Error>> {
        let name = options.name.as_ref().map_or_else(unique_name, ToString::to_string);
        let via = |version: &str| HeaderValue::try_from(format!("{version} {name}"));
        Ok(Self {
            via: [via("1.0")?, via("1.1")?, via("2")?],
            scheme: upstream.scheme().cloned().ok_or("no scheme")?,
            authority: upstream.authority().cloned().ok_or("no host")?,
            detours: Vec::new(),
            version: if options.http2 { Version::HTTP_2 } else { Version::HTTP_11 },
            name,
            trust_forwarded: options.trust_forwarded,
            has_token: options.disclose_to.is_some(),
        })
    }

    /// To the embedded upstream, except for the paths that need one which is not there.
    pub(crate) fn to_embedded(embedded: &Embedded, options: &Options) -> Result<Self, Box<dyn Error>> {
        let mut this = Self::to(&format!("http://{}", embedded.address).parse()?, options)?;
        this.detours = vec![
            ("/refused", Scheme::HTTP, embedded.refusing.to_string().parse()?),
            ("/unknown-name", Scheme::HTTP, Authority::from_static("upstream.invalid")),
        ];
        for (path, address) in &embedded.tls.paths {
            this.detours.push((path, Scheme::HTTPS, address.to_string().parse()?));
        }
        Ok(this)
    }

    /// The request for the upstream, or why there is none.
    pub(crate) fn rewrite<B: Body>(&self, mut request: Request<B>) -> Result<Request<B>, Failure> {
        if request.method() == Method::CONNECT {
            // A reverse proxy opens no tunnels.
            return Err(Failure::new(FailureKind::HttpRequestDenied));
        }
        let codings = list(request.headers(), &TRANSFER_ENCODING);
        if codings.len() > 1 || codings.iter().any(|coding| !coding.eq_ignore_ascii_case(b"chunked")) {
            // The server has undone the chunks, once, and nothing else: the upstream would never know.
            return Err(Failure::new(FailureKind::HttpRequestError));
        }
        // One Host, no more, and no less from HTTP/1.1 (RFC 9112, section 3.2).
        let hosts = request.headers().get_all(HOST).iter().count();
        let is_valid = request.headers().get(HOST).is_none_or(is_host);
        if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) || !is_valid {
            return Err(Failure::new(FailureKind::HttpRequestError));
        }
        // A target without a path is for CONNECT alone, and `*` for OPTIONS (RFC 9112, section 3.2).
        let Some(path) = request.uri().path_and_query().cloned() else {
            return Err(Failure::new(FailureKind::HttpRequestError));
        };
        if path.as_str() == "*" && request.method() != Method::OPTIONS {
            return Err(Failure::new(FailureKind::HttpRequestError));
        }
        if self.is_loop(request.headers()) {
            return Err(Failure::new(FailureKind::ProxyLoopDetected));
        }
        // The authority of the target goes before Host (RFC 9112, section 3.2.2), but for a name and password in it.
        let authority = request.uri().authority().map(|host| host.as_str().rsplit('@').next().unwrap_or_default());
        let authority = authority.and_then(|host| HeaderValue::try_from(host).ok());
        let host = request.headers_mut().remove(HOST);
        let host = authority.or(host);
        let received = request.version();
        let peer = request.extensions().get::<Peer>().cloned();
        let id = request.extensions().get::<RequestId>().and_then(|id| HeaderValue::try_from(id.as_str()).ok());

        let upgrade = if received == Version::HTTP_11 { self.upgrade(request.headers()) } else { None };
        self.tidy(request.headers_mut());
        if let Some(protocols) = upgrade {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(UPGRADE, protocols);
        }
        if let Some(hops) = max_forwards(request.headers()).filter(|_| request.method() == Method::OPTIONS) {
            request.headers_mut().insert(MAX_FORWARDS, HeaderValue::from(hops.saturating_sub(1)));
        }
        if self.has_token {
            request.headers_mut().remove(DEBUG);
        }
        let has_content = !request.body().is_end_stream();
        let expects_content = [Method::POST, Method::PUT, Method::PATCH].contains(request.method());
        if expects_content && !has_content {
            // Some servers answer 411 without it, and hyper leaves it out (RFC 9110, section 8.6).
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let is_get = [Method::GET, Method::HEAD].contains(request.method());
        let has_length = request.headers().contains_key(CONTENT_LENGTH) || request.body().size_hint().exact().is_some();
        if is_get && has_content && !has_length && self.version != Version::HTTP_2 {
            // hyper sends no content of unknown length with these, unless it is told to.
            request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        request.headers_mut().remove(ID);
        if let Some(id) = id {
            request.headers_mut().insert(ID, id);
        }
        if let Some(peer) = peer {
            self.forwarded(request.headers_mut(), peer.value, host);
        }
        let [via_1_0, via_1_1, via_2] = &self.via;
        let via = match received {
            Version::HTTP_2 => via_2,
            Version::HTTP_10 => via_1_0,
            _ => via_1_1,
        };
        request.headers_mut().append(VIA, via.clone());

        let (scheme, authority) = self.origin_for(path.path());
        let mut uri = http::uri::Parts::default();
        uri.authority = Some(authority.clone());
        uri.scheme = Some(scheme.clone());
        uri.path_and_query = Some(path);
        let internal = |_| Failure::new(FailureKind::ProxyInternalError);
        *request.uri_mut() = Uri::from_parts(uri).map_err(internal)?;
        *request.version_mut() = self.version;
        Ok(request)
    }

    fn origin_for(&self, path: &str) -> (&Scheme, &Authority) {
        let detour = self.detours.iter().find(|(from, ..)| *from == path);
        detour.map_or((&self.scheme, &self.authority), |(_, scheme, authority)| (scheme, authority))
    }

    /// Whether the request has been here before.
    fn is_loop(&self, headers: &HeaderMap) -> bool {
        let is_own = |element: &Vec<u8>| element.split(|&byte| byte == b' ').nth(1) == Some(self.name.as_bytes());
        list(headers, &VIA).iter().any(is_own)
    }

    /// The protocols a client asks to switch to (RFC 9110, section 7.8), as far as the upstream may be asked: never to HTTP of
    /// another version, which nobody would look at, and not over HTTP/2, which knows no upgrade.
    fn upgrade(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let asked = list(headers, &CONNECTION).iter().any(|option| option.eq_ignore_ascii_case(b"upgrade"));
        if !asked || self.version == Version::HTTP_2 {
            return None;
        }
        let mut protocols = list(headers, &UPGRADE);
        protocols.retain(|protocol| {
            let name = protocol.split(|&byte| byte == b'/').next().unwrap_or_default();
            ![&b"h2"[..], b"h2c", b"http"].iter().any(|http| name.eq_ignore_ascii_case(http))
        });
        HeaderValue::from_bytes(&protocols.join(&b", "[..])).ok().filter(|protocols| !protocols.is_empty())
    }

    /// Removes what is for one connection (RFC 9110, section 7.6.1), keeps `TE: trailers` where HTTP/2 allows it.
    fn tidy(&self, headers: &mut HeaderMap) {
        const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
        const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
        let wants_trailers = list(headers, &TE).iter().any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
        for name in list(headers, &CONNECTION) {
            // What proxies say to each other is not for a client to take away.
            match HeaderName::from_bytes(&name) {
                Ok(name) if name == FORWARDED || name == VIA || name.as_str().starts_with("x-forwarded-") => {}
                Ok(name) => drop(headers.remove(name)),
                Err(_) => {}
            }
        }
        for name in [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE, PROXY_CONNECTION] {
            headers.remove(name);
        }
        if expects_continue(headers) {
            // hyper answers it as soon as the upstream is sent the body, but over HTTP/2, where clients go on by themselves after a while. A second
            // answer would be for nobody.
            headers.remove(EXPECT);
        }
        if self.version == Version::HTTP_2 {
            if wants_trailers {
                headers.insert(TE, HeaderValue::from_static("trailers"));
            }
        } else if headers.get_all(COOKIE).iter().count() > 1 {
            // HTTP/2 splits cookies, HTTP/1.1 has them in one line (RFC 9113, section 8.2.3).
            let lines: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
            if let Ok(cookie) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
                headers.insert(COOKIE, cookie);
            }
        }
    }

    /// What a client says of its way here is believed only when asked to.
    fn forwarded(&self, headers: &mut HeaderMap, peer: HeaderValue, host: Option<HeaderValue>) {
        const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
        const X_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
        const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
        const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
        if !self.trust_forwarded {
            let claimed = |name: &&HeaderName| name.as_str().starts_with("x-forwarded-");
            let claims: Vec<_> = headers.keys().filter(claimed).cloned().collect();
            for name in claims {
                headers.remove(name);
            }
            headers.remove(FORWARDED);
            headers.remove(REAL_IP);
        }
        headers.append(FOR, peer);
        headers.entry(PROTO).or_insert(HeaderValue::from_static("http"));
        if let Some(host) = host {
            headers.entry(X_HOST).or_insert(host);
        }
    }
}

/// Whether a value is one that Host may have (RFC 9112, section 3.2); it may be empty.
fn is_host(value: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(value.as_bytes()) else { return value.is_empty() };
    // A name and password before the host, and what is no number behind it, are left to whoever reads an authority.
    let port = authority.as_str().strip_prefix(authority.host());
    let is_port = |port: &str| port.strip_prefix(':').is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    !authority.host().is_empty() && port.is_some_and(is_port)
}

/// Whether the client waits to be told that it may send its body (RFC 9110, section 10.1.1).
pub(crate) fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// How many more gateways an OPTIONS request may meet (RFC 9110, section 7.6.2). What is no number means nothing.
pub(crate) fn max_forwards(headers: &HeaderMap) -> Option<u32> {
    headers.get(MAX_FORWARDS)?.to_str().ok()?.parse().ok()
}

/// What no other gateway is called.
fn unique_name() -> String {
    format!("gateway-{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// The elements of a field that is a list; they may be any bytes.
pub(crate) fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<Vec<u8>> {
    let lines = headers.get_all(name).into_iter();
    let elements = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    elements.map(|element| element.trim_ascii().to_vec()).filter(|element| !element.is_empty()).collect()
}
