//! The gateway of one exchange: closed by default, or with one of its doors open.

use std::{
    convert::Infallible,
    error::Error,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, Uri, Version,
    header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, HOST},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::Notify,
};
use tower::{Service, ServiceBuilder, service_fn, util::BoxCloneSyncService};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError,
    context::RequestId,
    fallback::{EmptyBody, FailureView, Fallback},
    format::{Negotiate, PublicFailure, Representation, Template},
};

use super::{
    anyone::certificate_of,
    faults::{Behind, Scene},
    mint::Mint,
};
use crate::{
    connecting,
    gateway::{Gateway, NAME, relay},
    h2_frames::*,
    h2_upstream, tls,
    upstream::{self, Act, Upstream},
};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Door {
    /// None is open.
    Closed,
    /// None is open, and what makes the answers is the user's: templates, and a fallback that shows all it is told.
    Set,
    /// [`BadGatewayLayer::disclose`], and `request_id_header`.
    Disclose,
    /// A format that shows all it can get at, and the trace as identifier.
    Format,
    /// [`BadGatewayLayer::for_router`], which judges and tidies nothing.
    Router,
    /// No layer at all: a gateway that shows what came from both sides.
    Echo,
}

type Inner = BoxCloneSyncService<Request<Incoming>, Response<Incoming>, BoxError>;

/// What a gateway needs as long as it is asked.
pub(crate) struct Opened {
    pub(crate) gateway: Gateway,
    /// What the upstream sends.
    pub(crate) sent: Vec<u8>,
    _refusing: Option<TcpSocket>,
}

pub(crate) async fn open(door: Door, scene: Scene, mint: &mut Mint) -> Opened {
    let Scene { mut behind, setting } = scene;
    let sent = sent(&behind);
    if matches!(door, Door::Router | Door::Echo) {
        end(&mut behind);
    }
    let layer = layer(door).upstream(mint.at("layer: name of the upstream"));
    // A router's settings are others.
    let layer = if door == Door::Router { layer } else { setting(layer) };
    let (upstream, refusing) = start(&behind).await;
    let address = upstream.address;
    let gateway = if door == Door::Echo {
        Gateway { address: echo(behind, upstream.clone()).await, ..silent(upstream.seen) }
    } else {
        Gateway::around(inner(behind, address, mint), upstream.seen, layer, |request| request).await
    };
    Opened { gateway, sent, _refusing: refusing }
}

fn layer(door: Door) -> BadGatewayLayer {
    let limit = Duration::from_secs(30);
    let layer = match door {
        Door::Router => BadGatewayLayer::for_router(),
        _ => BadGatewayLayer::new().head_timeout(limit).idle_timeout(limit),
    };
    let layer = layer.gateway_name(NAME).silent();
    match door {
        Door::Disclose => layer.disclose(|_| true).request_id_header(HeaderName::from_static("x-request-id")),
        Door::Format => layer.format(all).request_id_header(HeaderName::from_static("traceparent")),
        Door::Set => layer
            .capture_fields([AUTHORIZATION, COOKIE])
            .format(Negotiate::new().html(page()).offer("application/json", document()))
            .fallback(Fallback::new(service_fn(tell)).keep_fields([HeaderName::from_static("x-told")])),
        Door::Closed | Door::Router | Door::Echo => layer,
    }
}

fn page() -> Template {
    Template::html(
        "<!doctype html><html lang=\"{{ language }}\"><title>{{ status }} {{ reason }}</title><h1>{{ title }}</h1>\
         <p>{{ summary }} ({{ code }}, {{ blame }}, {{ gateway }}, {{ is_safe }}, {{ retry_after }}, {{ request_id }})",
    )
    .unwrap()
}

fn document() -> Template {
    Template::json(
        "{\"code\": {{ code }}, \"title\": {{ title }}, \"summary\": {{ summary }}, \"id\": {{ request_id }}}",
    )
    .unwrap()
}

/// Shows all that a fallback is told, but for what it is asked with: the path, the host, and what the client accepts.
async fn tell(request: Request<EmptyBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (mut head, _) = request.into_parts();
    for name in [HOST, ACCEPT, ACCEPT_LANGUAGE] {
        head.headers.remove(name);
    }
    let view = head.extensions.get::<FailureView>().unwrap();
    let told = format!("{} {:?} {view:?} {:?}", head.method, head.headers, head.extensions.get::<RequestId>());
    // By this the client sees that it was the fallback that answered a HEAD.
    Ok(Response::builder().header("x-told", told.replace('\n', " ")).body(Full::from(told)).unwrap())
}

fn all(failure: &PublicFailure<'_>) -> Representation {
    let private = failure.failure();
    let text = format!("{private:?}\n{}\n{:?}\n", private.private_chain(), failure.request_id());
    Representation::new(HeaderValue::from_static("text/plain; charset=utf-8"), text)
}

/// Nobody waits for what does not come.
fn end(behind: &mut Behind) {
    if let Behind::H1(acts) | Behind::H2(acts) | Behind::Stranger(acts) = behind {
        acts.retain(|act| !matches!(act, Act::Wait));
        acts.push(Act::Fin);
    }
}

fn sent(behind: &Behind) -> Vec<u8> {
    let acts = match behind {
        Behind::H1(acts) | Behind::H2(acts) | Behind::Stranger(acts) => &acts[..],
        _ => &[],
    };
    let bytes = acts.iter().filter_map(|act| if let Act::Send(bytes) = act { Some(*bytes) } else { None });
    bytes.collect::<Vec<_>>().concat()
}

async fn start(behind: &Behind) -> (Upstream, Option<TcpSocket>) {
    match behind {
        Behind::H1(acts) | Behind::Stranger(acts) => (upstream::h1(Vec::leak(acts.clone()), false).await, None),
        Behind::H2(acts) => (h2_upstream::start(acts.clone()).await, None),
        Behind::Tls(fault) => (tls::start(fault.clone()).await, None),
        Behind::Refused | Behind::Resolver(_) | Behind::Connector(_) | Behind::Unready(_) => {
            let (socket, address) = connecting::refusing();
            (address.into(), Some(socket))
        }
    }
}

/// The client, with an upstream whose name, address and port are secret as well.
fn inner(behind: Behind, upstream: SocketAddr, mint: &mut Mint) -> Inner {
    let host = format!("{}.example", mint.at("upstream: name of the host"));
    let uri = format!("http://{host}:{}", upstream.port());
    // With the colon: five digits alone may well be a colour of the page.
    mint.put("upstream: port", format!(":{}", upstream.port()), false);
    mint.put("upstream: address", upstream.ip().to_string(), false);
    let resolver = |fails: Option<String>| {
        let resolver = service_fn(move |name: Name| {
            let found = match &fails {
                None => Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))].into_iter()),
                Some(text) => Err(io::Error::other(format!("{text}: no such host: {name}"))),
            };
            Box::pin(std::future::ready(found))
        });
        HttpConnector::new_with_resolver(resolver)
    };
    match behind {
        Behind::H1(_) | Behind::Refused => client(resolver(None), uri, false),
        Behind::H2(_) | Behind::Stranger(_) => client(resolver(None), uri, true),
        Behind::Tls(_) => client(tls::connector(tls::BOTH, false), format!("https://{upstream}"), false),
        Behind::Resolver(text) => client(resolver(Some(text)), uri, false),
        Behind::Connector(texts) => {
            let connector = service_fn(move |_: Uri| {
                let error = texts.iter().fold(None, |source, text| Some(Box::new(Reason(text.clone(), source))));
                Box::pin(std::future::ready(Err::<TokioIo<TcpStream>, _>(*error.unwrap())))
            });
            client(connector, uri, false)
        }
        Behind::Unready(text) => BoxCloneSyncService::new(Unready(text)),
    }
}

fn client<C: Connect + Clone + Send + Sync + 'static>(connector: C, uri: String, http2: bool) -> Inner {
    let service = ServiceBuilder::new()
        .map_request(move |mut request: Request<Incoming>| {
            *request.uri_mut() = format!("{uri}{}", request.uri().path_and_query().unwrap()).parse::<Uri>().unwrap();
            *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
            for name in [HOST.as_str(), "connection", "te"] {
                request.headers_mut().remove(name);
            }
            request
        })
        .map_err(|error: hyper_util::client::legacy::Error| BoxError::from(error))
        .service(Client::builder(TokioExecutor::new()).http2_only(http2).build(connector));
    BoxCloneSyncService::new(service)
}

/// An error, and what it came of.
#[derive(Debug)]
struct Reason(String, Option<Box<Self>>);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Reason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[derive(Clone)]
struct Unready(String);

impl Service<Request<Incoming>> for Unready {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = std::future::Pending<Result<Response<Incoming>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err(self.0.clone().into()))
    }

    fn call(&mut self, _: Request<Incoming>) -> Self::Future {
        std::future::pending()
    }
}

fn silent(seen: Arc<Notify>) -> Gateway {
    Gateway {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        seen,
        failures: Arc::default(),
        abandoned: Arc::default(),
    }
}

/// Shows the request, and what the upstream had to say, in an encoding that depends on what is accepted.
async fn echo(behind: Behind, upstream: Upstream) -> SocketAddr {
    let behind = Arc::new(behind);
    relay(service_fn(move |request: Request<Incoming>| {
        let (behind, upstream) = (Arc::clone(&behind), upstream.clone());
        async move {
            let (head, body) = request.into_parts();
            let mut all = format!("{} {}\n", head.method, head.uri).into_bytes();
            for (name, value) in &head.headers {
                all.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
            }
            all.extend(body.collect().await.map_or(Vec::new(), |body| body.to_bytes().to_vec()));
            all.extend(overheard(&behind, &upstream).await);
            let accept = head.headers.get("accept").map_or("", |accept| accept.to_str().unwrap());
            let text = match accept.split(',').next() {
                Some("application/json") => STANDARD.encode(&all),
                Some("text/html") => URL_SAFE.encode(&all),
                Some("text/plain") => all.iter().map(|byte| format!("{byte:02x}")).collect(),
                Some("*/*") => all.iter().map(|byte| format!("%{byte:02X}")).collect(),
                _ => String::from_utf8_lossy(&all).into_owned(),
            };
            let mut response = Response::new(Full::from(text.clone()));
            if head.method == http::Method::HEAD {
                response.headers_mut().insert("x-echo", HeaderValue::from_str(&text).unwrap());
            }
            Ok::<_, Infallible>(response)
        }
    }))
    .await
}

/// All that the upstream says to somebody who asks.
async fn overheard(behind: &Behind, upstream: &Upstream) -> Vec<u8> {
    let question = match behind {
        Behind::H1(_) | Behind::Stranger(_) => b"GET / HTTP/1.1\r\nhost: gateway\r\n\r\n".to_vec(),
        Behind::H2(_) => {
            let block = [field(b":method", b"GET"), field(b":scheme", b"http"), field(b":path", b"/")].concat();
            [PREFACE, &frame(SETTINGS, 0, 0, &[]), &headers(1, END_STREAM, &block)].concat()
        }
        Behind::Tls(tls::Fault::Raw(_)) => b"\x16\x03\x01\x00\x01\x01".to_vec(),
        Behind::Tls(_) => return certificate_of(upstream.address).await,
        _ => return Vec::new(),
    };
    let mut stream = TcpStream::connect(upstream.address).await.unwrap();
    stream.write_all(&question).await.unwrap();
    let mut all = Vec::new();
    // It may end in a reset.
    while stream.read_buf(&mut all).await.is_ok_and(|count| count > 0) {
        upstream.seen.notify_one();
    }
    all
}
