//! Fallbacks that people have: tower-http's folders, an axum router, a client.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{fs, io, net::SocketAddr, path::PathBuf};

use axum::{Extension, Router, body::Body, response::Html, routing::get};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::net::TcpSocket;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind,
    fallback::{EmptyBody, FailureView, Fallback},
    validate::Intercept,
};
use tower_http::services::{ServeDir, ServeFile};

/// Status, fields, content, and the failure, of a GET to an upstream that answers 404 or refuses.
async fn answer(layer: BadGatewayLayer, path: &str) -> (u16, HeaderMap, String, Failure) {
    let upstream = service_fn(|request: Request<Full<Bytes>>| async move {
        if request.uri().path() == "/404" {
            return Ok(Response::builder().status(404).body(Full::default()).unwrap());
        }
        Err::<Response<Full<Bytes>>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
    });
    let request = Request::get(path).header("accept", "text/html").header("accept-encoding", "gzip");
    let Ok(response) = layer.layer(upstream).oneshot(request.body(Full::default()).unwrap()).await;
    let failure = response.extensions().get::<Failure>().unwrap().clone();
    let (head, body) = response.into_parts();
    let content = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, String::from_utf8_lossy(&content).into_owned(), failure)
}

/// A folder with some pages, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, pages: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("tower-bad-gateway-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (page, content) in pages {
            fs::write(folder.join(page), content).unwrap();
        }
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_folder_of_pages_is_named_by_status_or_path() {
    let folder = Folder::new("pages", &[("502.html", "<p>502"), ("404.html", "<p>404"), ("basket", "a basket")]);
    let by_status = || {
        let pages = Fallback::new(ServeDir::new(&folder.0)).path(PathAndQuery::from_static("/{status}.html"));
        BadGatewayLayer::new().intercept(Intercept::client_errors().without_content()).fallback(pages)
    };
    for (path, status) in [("/a", 502), ("/404", 404)] {
        let (got, fields, content, failure) = answer(by_status(), path).await;
        assert_eq!((got, content), (status, format!("<p>{status}")));
        assert_eq!(
            (&fields["content-type"], &fields["content-length"], &fields["cache-control"]),
            (&"text/html".parse().unwrap(), &"6".parse().unwrap(), &"no-store".parse().unwrap())
        );
        // Those of a file, which mean nothing here.
        assert!(!fields.contains_key("accept-ranges") && !fields.contains_key("last-modified"));
        assert_eq!(failure.fallback().unwrap().as_str(), "answered");
    }
    // The file itself, stale but there.
    let stale = BadGatewayLayer::new().fallback(ServeDir::new(&folder.0));
    let (got, _, content, _) = answer(stale.clone(), "/basket").await;
    assert_eq!((got, &*content), (502, "a basket"));
    // One that is not there is a failure of the fallback.
    let (got, fields, _, failure) = answer(stale, "/other").await;
    assert_eq!((got, &fields["content-type"]), (502, &"text/html; charset=utf-8".parse().unwrap()));
    let second = failure.fallback().unwrap().failure().unwrap();
    assert_eq!((second.kind(), second.upstream_status().unwrap().as_u16()), (FailureKind::ReceivedStatus, 404));
}

#[tokio::test]
async fn one_file_is_for_all() {
    let folder = Folder::new("file", &[("sorry.html", "<p>sorry")]);
    let layer = BadGatewayLayer::new().fallback(ServeFile::new(folder.0.join("sorry.html")));
    let (got, _, content, _) = answer(layer, "/a").await;
    assert_eq!((got, &*content), (502, "<p>sorry"));
}

#[tokio::test]
async fn a_router_writes_pages_of_the_failure() {
    let page = |Extension(failure): Extension<FailureView>| async move { Html(format!("<p>{}", failure.summary())) };
    let router: Router = Router::new().route("/shop/{id}", get(page)).fallback(get(|| async { "elsewhere" }));
    let layer = BadGatewayLayer::new().fallback(router);
    let (got, fields, content, _) = answer(layer.clone(), "/shop/1").await;
    assert_eq!((got, &*content), (502, "<p>the upstream refused the connection"));
    assert_eq!(fields["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer(layer, "/").await.2, "elsewhere");
}

/// A second upstream, under its own status; and one that is not there either.
#[tokio::test]
async fn a_client_asks_a_second_upstream() {
    let second = Router::new().route("/a", get(|| async { "from the second" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, second).await });
    // Bound, but not listening: it refuses every connection.
    let nowhere = TcpSocket::new_v4().unwrap();
    nowhere.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let away = nowhere.local_addr().unwrap();

    for (address, status, outcome) in [(there, 200, "answered"), (away, 502, "failed")] {
        let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
        let service = ServiceBuilder::new()
            .map_request(move |request: Request<EmptyBody>| {
                let mut request = request.map(Body::new);
                *request.uri_mut() = format!("http://{address}{}", request.uri().path()).parse().unwrap();
                request
            })
            .service(client);
        let layer = BadGatewayLayer::new().fallback(Fallback::new(service).keep_status());
        let (got, _, content, failure) = answer(layer, "/a").await;
        assert_eq!(
            (got, failure.kind(), failure.fallback().unwrap().as_str()),
            (status, FailureKind::ConnectionRefused, outcome)
        );
        if status == 200 {
            assert_eq!(content, "from the second");
        }
    }
}
