//! What the gateway itself decides, by what its user has put into it: limits, validators, readers and services of his own.

use std::{io, net::SocketAddr, sync::Arc};

use http::{HeaderName, Request, Uri, Version, header::HOST};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector, connect::dns::Name},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpStream;
use tower::{BoxError, ServiceBuilder, filter::FilterLayer, service_fn};
use tower_bad_gateway::{
    BadGatewayLayer, Failure,
    FailureKind::{self, *},
    context::RequestContext,
    failure::{Blame, RetrySafety},
    validate::{ResponseHead, SizeLimits},
};

use crate::{
    client, connecting,
    gateway::{Gateway, patient},
    row::Row,
    upstream::{self, Act, Act::*},
};

/// A response that the client library finds good, and a setting of the layer does not.
fn refused(
    id: &'static str,
    status: u16,
    kinds: &'static [FailureKind],
    acts: &'static [Act],
    layer: BadGatewayLayer,
) -> Row {
    Row::new("policy", id, status, kinds, async move {
        Gateway::start(upstream::h1(acts, false).await, false, layer).await.ask().await
    })
    .retry(RetrySafety::Unknown)
}

fn limited(limits: SizeLimits) -> BadGatewayLayer {
    patient().limit_fields(limits)
}

/// Refuses every response with this field.
fn without(name: &'static str, kind: FailureKind) -> BadGatewayLayer {
    patient().validate(
        move |head: &ResponseHead<'_>, _: &RequestContext| {
            if head.headers().contains_key(name) { Err(kind) } else { Ok(()) }
        },
    )
}

/// A service between the layer and the client that does not let every request through.
fn turned_away(id: &'static str, kinds: &'static [FailureKind], field: &'static str) -> Row {
    let kind = kinds[0];
    Row::new("policy", id, kind.status().as_u16(), kinds, async move {
        let upstream = upstream::h1(&[Send(upstream::OK)], false).await;
        let (address, field) = (upstream.address, HeaderName::from_static(field));
        let named = field.clone();
        let service = ServiceBuilder::new()
            .layer(FilterLayer::new(move |request: Request<Incoming>| {
                if request.headers().contains_key(&named) {
                    Err(BoxError::from(Failure::new(kind)))
                } else {
                    Ok(request)
                }
            }))
            .map_request(move |mut request: Request<Incoming>| {
                *request.uri_mut() = format!("http://{address}{}", request.uri().path()).parse::<Uri>().unwrap();
                *request.version_mut() = Version::HTTP_11;
                request.headers_mut().remove(HOST);
                request
            })
            .service(Client::builder(TokioExecutor::new()).build_http::<Incoming>());
        let gateway = Gateway::around(service, Arc::clone(&upstream.seen), patient(), |request| request).await;
        let request = format!("GET /fault HTTP/1.1\r\nhost: gateway\r\n{field}: 1.1 edge\r\nconnection: close\r\n\r\n");
        let received = client::send(gateway.address, request.as_bytes(), &gateway.seen).await;
        gateway.outcome(received).await
    })
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        refused(
            "section-too-large",
            502,
            &[HttpResponseHeaderSectionSize],
            &[Send(b"HTTP/1.1 200 OK\r\nx-a: 0123456789\r\nx-b: 0123456789\r\nx-c: 0123456789\r\ncontent-length: 0\r\n\r\n")],
            limited(SizeLimits::new().section(64)),
        ),
        refused(
            "field-too-large",
            502,
            &[HttpResponseHeaderSize],
            &[Send(b"HTTP/1.1 200 OK\r\nx-a: 01234567890123456789012345678901234567890123456789\r\ncontent-length: 0\r\n\r\n")],
            limited(SizeLimits::new().field(32)),
        ),
        refused(
            "trailers-too-large",
            200,
            &[HttpResponseTrailerSectionSize],
            &[
                Send(CHUNKED),
                Seen,
                Send(b"0\r\nx-a: 0123456789\r\nx-b: 0123456789\r\nx-c: 0123456789\r\nx-d: 0123456789\r\n\r\n"),
            ],
            limited(SizeLimits::new().section(64)),
        )
        .cut(),
        refused(
            "trailer-too-large",
            200,
            &[HttpResponseTrailerSize],
            &[Send(CHUNKED), Seen, Send(b"0\r\nx-a: 01234567890123456789012345678901234567890123456789\r\n\r\n")],
            limited(SizeLimits::new().field(32)),
        )
        .cut(),
        refused(
            "content-too-large",
            502,
            &[HttpResponseBodySize],
            &[Send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"), Wait],
            patient().validate(|head: &ResponseHead<'_>, _: &RequestContext| {
                let length = head.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
                if length > Some(100) { Err(HttpResponseBodySize) } else { Ok(()) }
            }),
        ),
        refused(
            "coding-nobody-asked-for",
            502,
            &[HttpResponseContentCoding],
            &[Send(b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 5\r\n\r\nhello")],
            without("content-encoding", HttpResponseContentCoding),
        ),
        // One line, with us at its end.
        refused(
            "intercepted",
            503,
            &[ReceivedStatus],
            &[Send(
                b"HTTP/1.1 503 X\r\nproxy-status: origin-gw;error=connection_refused;next-hop=db\r\nproxy-status: cdn\r\n\
                  content-length: 0\r\n\r\n",
            )],
            without("proxy-status", ReceivedStatus),
        ),
        refused(
            "validator-panics",
            500,
            &[ProxyInternalError],
            &[Send(b"HTTP/1.1 200 OK\r\nx-odd: 1\r\ncontent-length: 0\r\n\r\n")],
            patient().validate(|head: &ResponseHead<'_>, _: &RequestContext| -> Result<(), FailureKind> {
                if head.headers().contains_key("x-odd") { panic!("no idea") } else { Ok(()) }
            }),
        )
        .blame(Blame::Gateway),
        turned_away("denied", &[HttpRequestDenied], "x-bad"),
        turned_away("no-destination", &[DestinationNotFound], "x-elsewhere"),
        turned_away("answered-here", &[ProxyInternalResponse], "x-maintenance"),
        turned_away("round-in-a-loop", &[ProxyLoopDetected], "via"),
        Row::new("connect", "address-forbidden", 502, &[DestinationIpProhibited], async {
            let resolver = service_fn(|_: Name| {
                Box::pin(async { Err::<std::vec::IntoIter<SocketAddr>, _>(Failure::new(DestinationIpProhibited)) })
            });
            let connector = HttpConnector::new_with_resolver(resolver);
            connecting::ask(connecting::with(connector), connecting::get("http://upstream.example/")).await
        }),
        Row::new("connect", "error-nobody-knows", 502, &[Unclassified], async {
            let connector =
                service_fn(|_: Uri| Box::pin(async { Err::<TokioIo<TcpStream>, _>(io::Error::other("a tunnel of mine")) }));
            connecting::ask(connecting::with(connector), connecting::get("http://upstream.example/")).await
        })
        .retry(RetrySafety::NotSent),
    ];
    rows.extend(linux());
    rows
}

/// Linux connects no stream to the address of all.
#[cfg(target_os = "linux")]
fn linux() -> Vec<Row> {
    vec![
        Row::new("connect", "no-route", 502, &[DestinationIpUnroutable], async {
            let client = Client::builder(TokioExecutor::new()).build_http();
            connecting::ask(client, connecting::get("http://255.255.255.255/")).await
        })
        .retry(RetrySafety::NotSent),
    ]
}

#[cfg(not(target_os = "linux"))]
fn linux() -> Vec<Row> {
    Vec::new()
}

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
