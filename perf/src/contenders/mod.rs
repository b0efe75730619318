//! The one table of what is measured.

mod floor;
mod hand;
mod recipe;

use std::{convert::Infallible, fmt, io, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode, header::HOST};
use http_body_util::Full;
use hyper_util::client::legacy;
use tower::{Layer, service_fn, timeout::TimeoutLayer};
#[cfg(feature = "metrics")]
use tower_bad_gateway::Metrics;
use tower_bad_gateway::{BadGatewayLayer, GatewayName, fallback::EmptyBody, format::Texts, validate::Intercept};

use crate::{
    drive::{Answer, drive, in_task},
    scenario::{Request, Scenario, upstream},
};

/// One way to deal with an upstream that may fail.
pub struct Contender {
    /// Its name in the results; fit for the name of a folder.
    pub name: &'static str,
    /// What it answers when the upstream refuses the connection; `None` if it passes the error on.
    pub refused: Option<StatusCode>,
    run: fn(Scenario, &mut Work<'_>),
}

/// Is given a function that makes one call.
type Work<'a> = dyn FnMut(&mut dyn FnMut(Request) -> Answer) + 'a;

impl Contender {
    /// Makes the service, and has `work` call it from inside of a task.
    pub fn run(&self, scenario: Scenario, work: &mut Work<'_>) {
        (self.run)(scenario, work);
    }
}

impl fmt::Debug for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! contenders {
    ($($(#[$attribute:meta])* $name:literal, $refused:ident, |$upstream:ident| $service:expr;)*) => {
        /// All contenders. The first is the bare upstream, which the others are compared with.
        pub static CONTENDERS: &[Contender] = &[$(
            $(#[$attribute])*
            Contender {
                name: $name,
                refused: $refused,
                run: |scenario, work| {
                    // The type of the error is another then.
                    if scenario == Scenario::Err2 {
                        let $upstream = upstream::<legacy::Error>(scenario);
                        let mut service = $service;
                        in_task(|cx| work(&mut |request| drive(&mut service, request, cx)));
                    } else {
                        let $upstream = upstream::<io::Error>(scenario);
                        let mut service = $service;
                        in_task(|cx| work(&mut |request| drive(&mut service, request, cx)));
                    }
                },
            },
        )*];
    };
}

contenders! {
    "bare", PASSED, |upstream| upstream;
    "floor, map Err", ANSWERED, |upstream| floor::MapErr(upstream);
    "floor, map Err + lazy timer", ANSWERED, |upstream| floor::MapErrTimer(upstream);
    "hand-written match", ANSWERED, |upstream| hand::matched(upstream);
    "hand-written timeout + match + JSON", ANSWERED, |upstream| hand::timeout(upstream);
    "hand-written, pingora-timeout + match + JSON", ANSWERED, |upstream| hand::pingora_timeout(upstream);
    "tower TimeoutLayer", PASSED, |upstream| TimeoutLayer::new(LIMIT).layer(upstream);
    "tower-http TimeoutLayer", PASSED, |upstream| recipe::tower_http_timeout(upstream);
    "tower-http ResponseBodyTimeoutLayer", PASSED, |upstream| recipe::body_timeout(upstream);
    "tower Timeout + axum HandleError", ANSWERED, |upstream| recipe::usual(upstream);
    "tower-resilience TimeLimiter + axum HandleError", ANSWERED, |upstream| recipe::resilience(upstream);
    "tower Timeout + HandleError + CatchPanic + Trace + BodyTimeout", ANSWERED, |upstream| recipe::full(upstream);
    "ours, new()", ANSWERED, |upstream| BadGatewayLayer::new().layer(upstream);
    "ours, new() without limits", ANSWERED, |upstream| {
        BadGatewayLayer::new().head_timeout(None).idle_timeout(None).ready_timeout(None).layer(upstream)
    };
    "ours, new() with a total limit", ANSWERED, |upstream| BadGatewayLayer::new().total_timeout(LIMIT).layer(upstream);
    "ours, for_router() with a head limit", ANSWERED, |upstream| {
        BadGatewayLayer::for_router().head_timeout(LIMIT).layer(upstream)
    };
    "ours, for_router()", ANSWERED, |upstream| BadGatewayLayer::for_router().layer(upstream);
    "ours, new() with a name", ANSWERED, |upstream| BadGatewayLayer::new().gateway_name(EDGE).layer(upstream);
    "ours, new() with on_success", ANSWERED, |upstream| BadGatewayLayer::new().on_success(|_| {}).layer(upstream);
    "ours, new() that holds 64 KiB", ANSWERED, |upstream| BadGatewayLayer::new().hold_body(64 * 1024, LIMIT).layer(upstream);
    "ours, new() that intercepts", ANSWERED, |upstream| {
        BadGatewayLayer::new().intercept(Intercept::server_errors().without_content()).layer(upstream)
    };
    "ours, new() that keeps a field of requests", ANSWERED, |upstream| {
        BadGatewayLayer::new().capture_fields([HOST]).layer(upstream)
    };
    "ours, new() with a language", ANSWERED, |upstream| Texts::new("de").into_iter().fold(BadGatewayLayer::new(), BadGatewayLayer::texts).layer(upstream);
    "ours, new() with a fallback", ANSWERED, |upstream| BadGatewayLayer::new().fallback(service_fn(page)).layer(upstream);
    #[cfg(feature = "metrics")]
    "ours, new() with metrics", ANSWERED, |upstream| BadGatewayLayer::new().metrics(Metrics::new()).layer(upstream);
    #[cfg(feature = "metrics")]
    "ours, new() with metrics of requests", ANSWERED, |upstream| {
        BadGatewayLayer::new().metrics(Metrics::new().requests()).layer(upstream)
    };
}

/// What a fallback answers.
async fn page(_: http::Request<EmptyBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"<!doctype html>"))))
}

const PASSED: Option<StatusCode> = None;
const ANSWERED: Option<StatusCode> = Some(StatusCode::BAD_GATEWAY);
const EDGE: GatewayName = GatewayName::from_static("edge-1");
const LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{measured, pairs};

    #[test]
    fn every_contender_does_the_same_work_and_answers_as_its_row_says() {
        let wrong: Vec<_> = pairs()
            .map(|(contender, scenario)| {
                let expected = if scenario.fails() { contender.refused } else { Some(StatusCode::OK) };
                let is_ready = scenario == Scenario::Ok0 || Scenario::BODIES.contains(&scenario);
                let polls = if is_ready { 1 } else { 2 };
                let frames = u32::from(scenario.frames());
                let bytes = if frames > 2 { 1 << 20 } else { 128 };
                let mut answers = Vec::new();
                contender.run(scenario, &mut |call| {
                    answers = Vec::from([(); 2].map(|()| measured(call, scenario.request())))
                });
                let right = answers.len() == 2
                    && answers.iter().all(|answer| {
                        (answer.status, answer.polls) == (expected, polls)
                            && (answer.status != Some(StatusCode::OK)
                                || (answer.frames, answer.body) == (frames, bytes))
                            && (answer.status != Some(StatusCode::BAD_GATEWAY) || answer.body > 0)
                    });
                (contender, scenario, answers, right)
            })
            .filter(|(.., right)| !right)
            .collect();
        assert!(wrong.is_empty(), "(contender, scenario, answers, right): {wrong:#?}");
    }

    #[test]
    fn names_are_unique_and_name_a_folder_as_they_are() {
        let mut names: Vec<_> = CONTENDERS.iter().map(|contender| contender.name).collect();
        // What criterion keeps in the name of a folder.
        assert!(
            names
                .iter()
                .all(|name| name.len() <= 64 && !name.contains(['?', '"', '/', '\\', '*', '<', '>', ':', '|', '^']))
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CONTENDERS.len());
    }
}
