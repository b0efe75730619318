//! Why the layer itself has decided so: in the log and for those to whom it is disclosed, and for nobody else.
//!
//! `cargo test --test it every_decision -- --nocapture` shows each row as it is seen by the log, a disclosed client and a stranger.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure, FailureKind, RequestBodyTap,
    body::{RequestBody, ResponseBody},
    context::{RequestContext, Timeouts},
    validate::{ResponseHead, SizeLimits},
};

use crate::mock::{
    Mock, MockBody, Ready,
    Step::{self, Data, Silence, Trailers, Wait},
};

const SECOND: Duration = Duration::from_secs(1);
/// What no reason may hold: the value of a field, of a query, of content.
const CANARY: &str = "canary-7f3a";

type Asked = Pin<Box<dyn Future<Output = Response<ResponseBody<MockBody>>>>>;

/// One decision: the reason that is expected, the layer, and what is asked through it.
struct Row {
    reason: &'static str,
    layer: BadGatewayLayer,
    ask: Box<dyn Fn(BadGatewayLayer) -> Asked>,
}

/// What became of it.
struct Seen {
    failure: Failure,
    /// All that a client has read: status, fields and content.
    answer: String,
    /// All of it is the layer's, and nothing was passed on before.
    is_own: bool,
}

async fn see(response: Response<ResponseBody<MockBody>>) -> Seen {
    let (head, body) = response.into_parts();
    let mut answer = format!("{} {:?}", head.status, head.headers);
    match body.collect().await {
        Ok(content) => {
            answer.push_str(&format!(" {}", String::from_utf8_lossy(&content.to_bytes())));
            Seen { failure: head.extensions.get::<Failure>().unwrap().clone(), answer, is_own: true }
        }
        Err(error) => Seen { failure: error.failure().clone(), answer, is_own: false },
    }
}

/// A request with secrets in it.
fn request(method: &str, fields: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let request = Request::builder().method(method).uri("/path?token=canary-7f3a").header("cookie", CANARY);
    fields.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(Empty::new()).unwrap()
}

fn row(
    reason: &'static str,
    layer: BadGatewayLayer,
    request: impl Fn() -> Request<Empty<Bytes>> + 'static,
    upstream: impl Fn() -> Mock + 'static,
) -> Row {
    let ask = move |layer: BadGatewayLayer| {
        let call = layer.layer(upstream()).oneshot(request());
        Box::pin(async { call.await.unwrap_or_else(|error| match error {}) }) as Asked
    };
    Row { reason, layer, ask: Box::new(ask) }
}

/// An answer to a plain GET.
fn head(reason: &'static str, status: u16, version: Version, fields: &'static [(&'static str, &'static str)]) -> Row {
    row(
        reason,
        BadGatewayLayer::new(),
        || request("GET", &[]),
        move || answering(status, version, fields, MockBody::of(["ok"])),
    )
}

fn body(
    reason: &'static str,
    layer: BadGatewayLayer,
    fields: &'static [(&'static str, &'static str)],
    steps: impl IntoIterator<Item = Step>,
) -> Row {
    let steps = Vec::from_iter(steps);
    let upstream = move || answering(200, Version::HTTP_11, fields, MockBody::steps(steps.clone()));
    row(reason, layer, || request("GET", &[]), upstream)
}

fn answering(status: u16, version: Version, fields: &[(&str, &str)], body: MockBody) -> Mock {
    let response = Response::builder().status(status).version(version).header("set-cookie", CANARY);
    let response = fields.iter().fold(response, |response, (name, value)| response.header(*name, *value));
    let response = std::sync::Mutex::new(Some(response.body(body).unwrap()));
    Mock::new(move |_| {
        let response = response.lock().unwrap().take().unwrap();
        async { Ok(response) }
    })
}

/// An upload through a tap, to an upstream that takes so many frames of it and never answers.
fn upload(reason: &'static str, layer: BadGatewayLayer, steps: impl IntoIterator<Item = Step>, taken: usize) -> Row {
    let steps = Vec::from_iter(steps);
    let ask = move |layer: BadGatewayLayer| {
        let upstream = service_fn(move |request: Request<RequestBody<MockBody>>| async move {
            let mut body = request.into_body();
            for _ in 0..taken {
                drop(body.frame().await);
            }
            let _unread = body;
            std::future::pending::<Result<Response<MockBody>, BoxError>>().await
        });
        let service =
            ServiceBuilder::new().layer(RequestBodyTap::new().idle_timeout(9 * SECOND)).layer(layer).service(upstream);
        let (head, _) = request("POST", &[]).into_parts();
        let call = service.oneshot(Request::from_parts(head, MockBody::steps(steps.clone())));
        Box::pin(async { call.await.unwrap_or_else(|error| match error {}) }) as Asked
    };
    Row { reason, layer, ask: Box::new(ask) }
}

fn rows() -> Vec<Row> {
    let new = BadGatewayLayer::new;
    let get = || request("GET", &[]);
    let ok = || answering(200, Version::HTTP_11, &[("x-long", CANARY)], MockBody::of(["ok"]));
    let upgrade = || request("GET", &[("connection", "upgrade"), ("upgrade", "websocket")]);
    let switching = |fields| move || answering(101, Version::HTTP_11, fields, MockBody::of([]));
    let own = || {
        let mut request = request("GET", &[]);
        request.extensions_mut().insert(Timeouts::new().head(3 * SECOND));
        request
    };
    let grpc = || request("POST", &[("content-type", "application/grpc"), ("grpc-timeout", "7S")]);
    let panics = |_: &ResponseHead<'_>, _: &RequestContext| -> Result<(), FailureKind> { panic!("{CANARY}") };
    vec![
        head("status 999 is above 599", 999, Version::HTTP_11, &[]),
        head("status 103 is interim, and came as the final response", 103, Version::HTTP_11, &[]),
        head("101 to a request that asked for no upgrade", 101, Version::HTTP_11, &[("upgrade", CANARY)]),
        row("101 without Upgrade", new(), upgrade, switching(&[])),
        row("101 to a protocol that the request did not ask for", new(), upgrade, switching(&[("upgrade", CANARY)])),
        head("Transfer-Encoding is not chunked", 200, Version::HTTP_11, &[("transfer-encoding", CANARY)]),
        head(
            "Transfer-Encoding names more than chunked",
            200,
            Version::HTTP_11,
            &[("transfer-encoding", "chunked, canary-7f3a")],
        ),
        head(
            "Content-Length beside Transfer-Encoding",
            200,
            Version::HTTP_11,
            &[("transfer-encoding", "chunked"), ("content-length", "2")],
        ),
        head("Content-Length is no number, or several", 200, Version::HTTP_11, &[("content-length", CANARY)]),
        head(
            "a field that is for one connection (Connection, Keep-Alive, Transfer-Encoding...) over HTTP/2",
            200,
            Version::HTTP_2,
            &[("connection", CANARY)],
        ),
        row(
            "x-long has 21 bytes, of 12 (limit_fields)",
            new()
                .limit_fields(SizeLimits::new().field(12))
                .validate(|_: &ResponseHead<'_>, _: &RequestContext| Ok::<_, Failure>(())),
            get,
            || answering_alone(&[("x-long", CANARY)]),
        ),
        row(
            "the section has 21 bytes, of 20 (limit_fields)",
            new().limit_fields(SizeLimits::new().section(20)),
            get,
            || answering_alone(&[("x-long", CANARY)]),
        ),
        row("a validator panicked", new().validate(panics), get, ok),
        row("no response head within 2s (head_timeout)", new().head_timeout(2 * SECOND), get, Mock::silent),
        row("no response head within 3s (head_timeout)", new(), own, Mock::silent),
        row("no response head within 4s (total_timeout)", new().total_timeout(4 * SECOND), get, Mock::silent),
        row("no response head within 7s (client_deadline)", new(), grpc, Mock::silent),
        row("not ready within 10s (ready_timeout)", new(), get, || Mock::ok().ready([Ready::Never])),
        row("not ready within 2s (head_timeout)", new().head_timeout(2 * SECOND), get, || {
            Mock::ok().ready([Ready::Never])
        }),
        body(
            "5 of 100 bytes, then silent for 45s (idle_timeout)",
            new(),
            &[("content-length", "100")],
            [Data("forty"), Silence],
        ),
        body("silent for 6s (idle_timeout)", new().idle_timeout(6 * SECOND), &[], [Data("a"), Silence]),
        body(
            "1 of 9 bytes, then not complete within 3s (total_timeout)",
            new().idle_timeout(6 * SECOND).total_timeout(3 * SECOND),
            &[("content-length", "9")],
            [Data("a"), Silence],
        ),
        body("1 of 9 bytes, then the end", new(), &[("content-length", "9")], [Data("a")]),
        body("1 of 9 bytes, then the end", new(), &[("content-length", "9")], [Data("a"), Trailers]),
        body("0 of 9 bytes, then the end", new(), &[("content-length", "9")], []),
        body("more than the 1 bytes that were promised", new(), &[("content-length", "1")], [Data("ab")]),
        upload("the client sent nothing for 9s (idle_timeout of the tap)", new(), [Data("a"), Silence], 2),
        upload(
            "the upload was not complete within 8s (total_timeout)",
            new().total_timeout(8 * SECOND),
            [Data("a"), Wait(7 * SECOND), Data("b"), Wait(7 * SECOND), Silence],
            9,
        ),
        upload(
            "nothing more of the upload was taken within 5s (head_timeout)",
            new().head_timeout(5 * SECOND),
            [Data("a"), Data("b")],
            1,
        ),
    ]
}

/// With no field but these.
fn answering_alone(fields: &[(&str, &str)]) -> Mock {
    let mut response = Response::new(MockBody::of(["ok"]));
    for (name, value) in fields {
        response.headers_mut().insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let response = std::sync::Mutex::new(Some(response));
    Mock::new(move |_| {
        let response = response.lock().unwrap().take().unwrap();
        async { Ok(response) }
    })
}

#[tokio::test(start_paused = true)]
async fn every_decision_of_the_layer_says_which_rule_and_what_was_seen() {
    let mut wrong = Vec::new();
    for Row { reason, layer, ask } in rows() {
        let Seen { failure, answer, is_own } = see(ask(layer.silent()).await).await;
        let chain = failure.private_chain().to_string();
        let late = failure.limit().is_some();
        if !chain.ends_with(&format!(": {reason}"))
            || chain.contains(CANARY)
            || answer.contains(reason)
            || (is_own && answer.contains(CANARY))
            || (late && failure.elapsed().is_none())
        {
            wrong.push((reason, chain, failure.elapsed(), answer));
        }
    }
    assert!(wrong.is_empty(), "(expected, private chain, elapsed, answer): {wrong:#?}");
}

/// The log, a client to whom it is disclosed, and a stranger.
#[cfg(all(feature = "json", feature = "proxy-status", feature = "tracing"))]
#[tokio::test(start_paused = true)]
async fn every_decision_is_told_to_the_log_and_to_those_who_may_see_it() {
    use tower_bad_gateway::{GatewayName, failure::Blame};

    use crate::log;

    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    for discloses in [false, true] {
        for Row { reason, layer, ask } in rows() {
            let layer = layer.gateway_name(GatewayName::from_static("edge-1")).disclose(move |_| discloses);
            log::begin();
            let Seen { failure, answer, is_own } = see(ask(layer).await).await;
            let lines = log::take();
            let level = if failure.blame() == Blame::Client { " INFO" } else { " WARN" };
            // A broken body says nothing more to anyone: its head is the upstream's.
            let is_shown = discloses && is_own;
            let is_logged = lines.lines().count() == 1
                && lines.starts_with(level)
                && lines.ends_with(&format!(": {reason}\n"))
                && failure
                    .limit()
                    .is_none_or(|limit| lines.contains(&format!("limit=\"{}\" elapsed_ms=", limit.as_str())));
            // RFC 9209 has a parameter for the name of a transfer coding, and it is shown to those who may see everything.
            let shown = if discloses { answer.replace(";coding=canary-7f3a", "") } else { answer.clone() };
            let leaks = lines.contains(CANARY) || (is_own && shown.contains(CANARY));
            if !is_logged || leaks || answer.contains(reason) != is_shown {
                wrong.push((discloses, reason, lines.clone(), answer.clone()));
            }
            seen.push((reason, lines, answer));
        }
    }
    let (strangers, disclosed) = seen.split_at(seen.len() / 2);
    for ((reason, line, stranger), (_, _, disclosed)) in strangers.iter().zip(disclosed) {
        println!("{reason}\n  log: {line}  stranger: {stranger}\n  disclosed: {disclosed}\n");
    }
    assert!(wrong.is_empty(), "(discloses, expected, lines, answer): {wrong:#?}");
}
