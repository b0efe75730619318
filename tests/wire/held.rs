//! What a held body looks like from outside: which length it has, over which protocol on which side.

use std::{collections::VecDeque, convert::Infallible, pin::Pin, task::Context, task::Poll, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version, header::CONTENT_LENGTH};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::ServiceBuilder;
use tower_bad_gateway::BadGatewayLayer;

use crate::gateway::{patient, relay};

/// Frames, each in a poll of its own, of no length that anybody has said.
struct Parts(VecDeque<Frame<Bytes>>);

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// `/length` says a length, `/open` none, and `/trailers` ends in trailers.
async fn upstream() -> std::net::SocketAddr {
    let service = tower::service_fn(|request: Request<Incoming>| async move {
        let parts = ["01234", "56789"].map(|part| Frame::data(Bytes::from_static(part.as_bytes())));
        let mut parts = VecDeque::from(parts);
        let mut head = Response::builder();
        match request.uri().path() {
            "/length" => head = head.header(CONTENT_LENGTH, "10"),
            "/trailers" => {
                head = head.header("trailer", "x-checksum");
                let trailers = HeaderMap::from_iter([("x-checksum".parse().unwrap(), "1".parse().unwrap())]);
                parts.push_back(Frame::trailers(trailers));
            }
            _ => {}
        }
        Ok::<_, Infallible>(head.body(Parts(parts)).unwrap())
    });
    relay(service).await
}

fn client(http2: bool) -> Client<HttpConnector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(http2).build_http()
}

/// A gateway that speaks this to the upstream.
async fn gateway(layer: BadGatewayLayer, upstream: std::net::SocketAddr, http2: bool) -> std::net::SocketAddr {
    let service = ServiceBuilder::new().layer(layer).map_request(move |request: Request<Incoming>| {
        let uri = format!("http://{upstream}{}", request.uri().path());
        let mut towards = Request::builder().uri(uri).body(Empty::<Bytes>::new()).unwrap();
        *towards.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        if let Some(te) = request.headers().get("te") {
            towards.headers_mut().insert("te", te.clone());
        }
        towards
    });
    relay(service.service(client(http2))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_held_to_its_end_has_a_length() {
    let upstream = upstream().await;
    let hold = Duration::from_secs(30);
    let layers = [
        ("held", patient().hold_body(64 * 1024, hold)),
        // Five bytes are enough, and the length of the others stays what it was.
        ("begun", patient().hold_body(5, hold)),
        ("not held", patient()),
    ];
    let mut wrong = Vec::new();
    for (name, layer) in layers {
        for upstream_http2 in [false, true] {
            let gateway = gateway(layer.clone(), upstream, upstream_http2).await;
            for client_http2 in [false, true] {
                for path in ["/length", "/open", "/trailers"] {
                    let request = Request::builder().uri(format!("http://{gateway}{path}")).header("te", "trailers");
                    let mut request = request.body(Empty::<Bytes>::new()).unwrap();
                    *request.version_mut() = if client_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
                    let response = client(client_http2).request(request).await.unwrap();
                    let lengths: Vec<_> = response.headers().get_all(CONTENT_LENGTH).iter().cloned().collect();
                    let content = response.into_body().collect().await.unwrap();
                    let has_trailers = content.trailers().is_some();
                    let content = content.to_bytes();
                    let has_length = match path {
                        "/length" => true,
                        "/open" => name == "held",
                        _ => name == "held" && client_http2,
                    };
                    let expected = if has_length { vec!["10"] } else { vec![] };
                    if lengths != expected || content != "0123456789" || has_trailers != (path == "/trailers") {
                        wrong.push(format!(
                            "{name}, upstream h2: {upstream_http2}, client h2: {client_http2}, {path}: \
                             {lengths:?} {content:?}, trailers: {has_trailers}"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
