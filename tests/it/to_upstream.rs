//! The rewriting of requests that the examples share.

use bytes::Bytes;
use http::{Method, Request, header::TRANSFER_ENCODING};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};

#[path = "../../examples/shared/to_upstream.rs"]
mod shared;

use crate::mock::{MockBody, Step};

type AnyBody = UnsyncBoxBody<Bytes, std::io::Error>;

#[test]
fn requests_become_those_of_the_upstream() {
    let none = || Empty::new().map_err(|never| match never {}).boxed_unsync();
    let known = || Full::new(Bytes::from("query")).map_err(|never| match never {}).boxed_unsync();
    let unknown = || MockBody::steps([Step::Data("query")]).map_err(std::io::Error::other).boxed_unsync();
    let rewrite = shared::to_upstream::<AnyBody>("127.0.0.1:8081".parse().unwrap());
    let mut wrong = Vec::new();
    for (method, target, body, sent_to, is_chunked) in [
        ("GET", "/a?b=c", none(), "http://127.0.0.1:8081/a?b=c", false),
        ("GET", "http://site.example/a", none(), "http://127.0.0.1:8081/a", false),
        ("OPTIONS", "*", none(), "http://127.0.0.1:8081*", false),
        ("GET", "*", none(), "http://127.0.0.1:8081/", false),
        ("CONNECT", "site.example:443", none(), "http://127.0.0.1:8081/", false),
        // hyper leaves content of unknown length out of these, unless it is told to send it.
        ("GET", "/", unknown(), "http://127.0.0.1:8081/", true),
        ("HEAD", "/", unknown(), "http://127.0.0.1:8081/", true),
        ("GET", "/", known(), "http://127.0.0.1:8081/", false),
        ("POST", "/", unknown(), "http://127.0.0.1:8081/", false),
    ] {
        let request = Request::builder().method(method).uri(target).header("host", "site.example");
        // What is for one connection, and what it names.
        let request = request.header("connection", "x-hop").header("x-hop", "1").header("x-kept", "1");
        let request = rewrite(request.header(TRANSFER_ENCODING, "gzip, chunked").body(body).unwrap());
        let coding = request.headers().get(TRANSFER_ENCODING).map(|coding| coding.to_str().unwrap().to_owned());
        let others: Vec<_> = request.headers().keys().filter(|name| *name != TRANSFER_ENCODING).collect();
        let seen = (request.uri().to_string(), coding, format!("{others:?}"));
        let expected = (sent_to.to_owned(), is_chunked.then(|| "chunked".to_owned()), r#"["x-kept"]"#.to_owned());
        if seen != expected || *request.method() != method.parse::<Method>().unwrap() {
            wrong.push((method, target, seen, expected));
        }
    }
    assert!(wrong.is_empty(), "(method, target, seen, expected): {wrong:#?}");
}
