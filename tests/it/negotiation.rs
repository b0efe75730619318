//! `Accept` to media type, as one table, through the layer.

use std::io;

use http::{HeaderMap, HeaderValue, header::ACCEPT};
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer,
    format::{Negotiate, PlainText, PublicFailure, Representation},
};

use crate::mock::{Mock, get, text};

const PROBLEM: &str = "application/problem+json";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// The usual offers, in this order: problem details, JSON, the page (twice), one line of text.
#[rustfmt::skip] // a table
const USUAL: &[(&str, &str, &str)] = &[
    // What is not there, or says nothing.
    ("empty", "", PROBLEM),
    ("white space", "  \t ", PROBLEM),
    ("commas", ",,,", PROBLEM),
    // Names and wildcards.
    ("anything", "*/*", PROBLEM),
    ("any application", "application/*", PROBLEM),
    ("problem details", "application/problem+json", PROBLEM),
    ("JSON", "application/json", JSON),
    ("in capitals", "APPLICATION/JSON", JSON),
    ("page", "text/html", HTML),
    ("page, as XHTML", "application/xhtml+xml", HTML),
    ("text", "text/plain", TEXT),
    ("any text: the first offered", "text/*", HTML),
    ("nothing that is offered", "image/png", PROBLEM),
    ("a suffix is not a wildcard", "application/*+json, text/plain;q=0.1", TEXT),
    ("a name that only starts alike", "application/json5, text/plain;q=0.1", TEXT),
    // Weights.
    ("the greater weight", "application/json;q=0.5, text/plain;q=0.6", TEXT),
    ("by a thousandth", "application/json;q=0.999, text/plain;q=0.998", JSON),
    ("a weight that is not needed", "text/plain;q=1.000", TEXT),
    ("capital Q, white space", "text/html ; Q=0.2 , text/plain ;\tq=0.3", TEXT),
    ("ruled out", "application/json;q=0, text/plain;q=0.001", TEXT),
    ("ruled out, with decimals", "application/json;q=0.000, text/plain;q=0.001", TEXT),
    ("everything ruled out", "*/*;q=0", PROBLEM),
    ("all but one ruled out", "*/*;q=0, text/plain", TEXT),
    ("one ruled out", "*/*, application/problem+json;q=0", JSON),
    ("the default ruled out", "application/problem+json;q=0", JSON),
    ("two ruled out", "application/json;q=0, application/problem+json;q=0.000", HTML),
    // Ties.
    ("two named: the first offered", "text/plain, application/json", JSON),
    ("named before allowed", "*/*, text/plain", TEXT),
    ("allowed with more weight before named", "*/*, text/plain;q=0.9", PROBLEM),
    // Specificity: the narrower range decides, even for less.
    ("narrower for less", "text/*, text/html;q=0.1, application/*;q=0.5", TEXT),
    ("three levels", "*/*;q=0.9, text/*;q=0.1, text/plain;q=0.95", TEXT),
    ("the same range twice: the greater", "text/html;q=0.1, text/html;q=0.9, text/plain;q=0.5", HTML),
    // Parameters.
    ("charset that is sent anyway", "application/json;charset=utf-8", JSON),
    ("the same, in quotes", "text/plain;charset=\"UTF-8\"", TEXT),
    ("another charset", "text/plain;charset=iso-8859-1, application/json;q=0.1", JSON),
    ("a parameter nobody offers", "text/html;level=1, text/plain;q=0.1", TEXT),
    ("a parameter behind the weight is one too", "text/html;q=0.9;level=1, text/plain;q=0.1", TEXT),
    ("a comma in quotes", "text/html;a=\"x, text/html\", text/plain;q=0.1", TEXT),
    // Clients as they are.
    ("curl", "*/*", PROBLEM),
    ("Python requests", "*/*", PROBLEM),
    ("fetch", "*/*", PROBLEM),
    ("axios", "application/json, text/plain, */*", JSON),
    ("jQuery, JSON", "application/json, text/javascript, */*; q=0.01", JSON),
    ("Chrome, a page", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7", HTML),
    ("Firefox, a page", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
    ("Safari, a page", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
    ("Chrome, an image", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", PROBLEM),
    ("Chrome, a style", "text/css,*/*;q=0.1", PROBLEM),
    ("an old Internet Explorer", "image/gif, image/jpeg, image/pjpeg, application/x-ms-application, */*", PROBLEM),
    ("lynx", "text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01", HTML),
    ("Java's URLConnection", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", HTML),
    ("event source", "text/event-stream", PROBLEM),
    ("GraphQL over HTTP", "application/graphql-response+json, application/json;q=0.9", JSON),
    // Malformed: the broken element is dropped, the others count.
    ("no slash", "garbage, text/plain", TEXT),
    ("half a name", "/, text/, /plain, text/plain", TEXT),
    ("a star too many", "*, text/plain", TEXT),
    ("a star on the wrong side", "*/json, text/plain", TEXT),
    ("no weight behind q", "application/json;q=, text/plain;q=0.1", TEXT),
    ("a weight above 1", "application/json;q=1.001, text/plain;q=0.1", TEXT),
    ("a weight below 0", "application/json;q=-1, text/plain;q=0.1", TEXT),
    ("a weight with four decimals", "application/json;q=0.9999, text/plain;q=0.1", TEXT),
    ("a weight without a whole", "application/json;q=.9, text/plain;q=0.1", TEXT),
    ("a weight with an exponent", "application/json;q=1e0, text/plain;q=0.1", TEXT),
    ("a weight in quotes", "application/json;q=\"0.9\", text/plain;q=0.1", TEXT),
    ("white space around =", "application/json;q = 0.9, text/plain;q=0.1", TEXT),
    ("two names", "application/json text/html, text/plain;q=0.1", TEXT),
    ("a lone semicolon at the end", "text/plain;", TEXT),
    ("a quote that does not end", "text/plain, application/json;a=\"b, text/html", TEXT),
    ("empty parameters", "text/html;;q=0.1;, text/plain; ;q=0.2", TEXT),
    ("all that a token may hold", "text/html;a=b~c|d`e;q=0.1, text/plain;q=0.2", TEXT),
    ("a stray quote", "foo\", text/plain", TEXT),
    ("letters beyond ASCII", "\u{fc}/\u{fc}, text/plain", TEXT),
];

/// Those of RFC 9110, section 12.5.1, table 5: the field, and what it makes of five types.
const OF_THE_STANDARD: &str =
    "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5";
const WEIGHTS: &[(&str, &str)] = &[
    ("text/plain;format=flowed", "1"),
    ("text/plain", "0.7"),
    ("image/jpeg", "0.5"),
    ("text/plain;format=fixed", "0.4"),
    ("text/html", "0.3"),
];

async fn media_type(layer: BadGatewayLayer, accept: HeaderMap) -> String {
    let gateway = layer.layer(Mock::failing(|| io::Error::from(io::ErrorKind::ConnectionRefused)));
    let mut request = get();
    *request.headers_mut() = accept;
    let Ok(response) = gateway.oneshot(request).await;
    assert_eq!(response.headers()["vary"], "accept");
    response.headers()["content-type"].to_str().unwrap().to_owned()
}

fn csv(_: &PublicFailure<'_>) -> Representation {
    Representation::new(HeaderValue::from_static("text/csv"), "")
}

fn accept(value: &[u8]) -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT, HeaderValue::from_bytes(value).unwrap())])
}

#[tokio::test]
async fn every_client_gets_the_format_it_asks_for() {
    let mut wrong = Vec::new();
    for &(what, value, expected) in USUAL {
        let got = media_type(BadGatewayLayer::new(), accept(value.as_bytes())).await;
        println!("{what:<42} {got:<28} {value}");
        if got != expected {
            wrong.push((what, value, got, expected));
        }
    }
    println!("{} values", USUAL.len());
    assert!(wrong.is_empty(), "(what, accept, got, expected): {wrong:#?}");
}

#[tokio::test]
async fn a_field_that_is_absent_or_hostile_leaves_the_default() {
    let ranges = |count: usize| [&b"a/b,".repeat(count)[..], b"text/plain"].concat();
    let long = [&b"a/b;c="[..], &b"d".repeat(5000), b", text/plain"].concat();
    let nested = [&b"text/plain;a=\""[..], &b"\\\"".repeat(1000), b"\", application/json;q=0.1"].concat();
    let mut wrong = Vec::new();
    for (what, headers, expected) in [
        ("absent", HeaderMap::new(), PROBLEM),
        ("the last of 64 elements", accept(&ranges(63)), TEXT),
        ("behind 64 elements", accept(&ranges(64)), PROBLEM),
        ("more than 4 KiB", accept(&long), PROBLEM),
        ("a thousand escaped quotes", accept(&nested), JSON),
        ("bytes that are not UTF-8", accept(b"text/\xff\xfe, text/plain"), TEXT),
        ("many semicolons", accept(&b";".repeat(4000)), PROBLEM),
    ] {
        let got = media_type(BadGatewayLayer::new(), headers).await;
        if got != expected {
            wrong.push((what, got, expected));
        }
    }
    assert!(wrong.is_empty(), "(what, got, expected): {wrong:#?}");

    let two_lines = HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static("image/png")),
        (ACCEPT, HeaderValue::from_static("text/plain")),
    ]);
    assert_eq!(media_type(BadGatewayLayer::new(), two_lines).await, TEXT, "two lines are one list");
}

/// Each of two types is offered first in turn: the weight decides, not the order.
#[tokio::test]
async fn the_weights_are_those_of_the_standard() {
    let offers = |types: [&'static str; 2]| {
        types.into_iter().fold(Negotiate::empty(), |negotiate, offer| {
            negotiate
                .offer(offer, move |_: &PublicFailure<'_>| Representation::new(HeaderValue::from_static(offer), ""))
        })
    };
    let mut wrong = Vec::new();
    for (place, &(greater, weight)) in WEIGHTS.iter().enumerate() {
        for &(less, other) in &WEIGHTS[place + 1..] {
            for types in [[greater, less], [less, greater]] {
                let layer = BadGatewayLayer::new().format(offers(types));
                let got = media_type(layer, accept(OF_THE_STANDARD.as_bytes())).await;
                if got != greater {
                    wrong.push((types, got, (greater, weight), (less, other)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "(offers, got, greater, less): {wrong:#?}");
}

#[tokio::test]
async fn what_is_no_media_type_is_not_offered() {
    for offer in ["not a type", "*/*", "text/*", ""] {
        let layer = BadGatewayLayer::new().format(Negotiate::empty().offer(offer, csv).offer("text/plain", PlainText));
        assert_eq!(media_type(layer.clone(), HeaderMap::new()).await, TEXT, "{offer}");
        assert_eq!(media_type(layer, accept(b"*/*")).await, TEXT, "{offer}");
    }
}

#[tokio::test]
async fn parameters_of_an_offer_are_compared_whatever_their_quotes_and_case() {
    let mut wrong = Vec::new();
    for (offer, value, expected) in [
        ("text/csv;header=present", "text/csv;header=\"PRE\\sent\", text/plain;q=0.5", "text/csv"),
        ("text/csv;header=present", "text/csv;header=absent, text/plain;q=0.5", TEXT),
        ("text/csv;header=present", "text/csv, text/plain;q=0.5", "text/csv"),
        ("text/csv;charset=latin1", "text/csv;charset=utf-8, text/plain;q=0.5", TEXT),
        ("text/csv;charset=latin1", "text/csv;charset=LATIN1, text/plain;q=0.5", "text/csv"),
    ] {
        let layer = BadGatewayLayer::new().format(Negotiate::empty().offer("text/plain", PlainText).offer(offer, csv));
        let got = media_type(layer, accept(value.as_bytes())).await;
        if got != expected {
            wrong.push((offer, value, got, expected));
        }
    }
    assert!(wrong.is_empty(), "(offer, accept, got, expected): {wrong:#?}");
}

/// What a client did not ask for it may still not want: the choice is what is shown in its place.
#[tokio::test]
async fn a_format_that_fails_is_replaced_within_the_choice() {
    let layer = BadGatewayLayer::new().message("mine").format(
        Negotiate::new().offer("application/json", |_: &PublicFailure<'_>| panic!("a test of what happens then")),
    );
    // `media_type` looks for `Vary`.
    assert_eq!(media_type(layer.clone(), accept(b"application/json")).await, TEXT);
    let gateway = layer.layer(Mock::failing(|| io::Error::from(io::ErrorKind::ConnectionRefused)));
    let mut request = get();
    *request.headers_mut() = accept(b"application/json");
    let Ok(response) = gateway.oneshot(request).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "502 Bad Gateway: mine\n");
}

#[tokio::test]
async fn an_offer_that_is_made_again_takes_the_place_of_the_first() {
    let again = BadGatewayLayer::new().format(Negotiate::new().offer("application/problem+json", csv));
    assert_eq!(media_type(again.clone(), HeaderMap::new()).await, "text/csv", "it is still the default");
    assert_eq!(media_type(again, accept(b"application/json")).await, JSON);
    let before = BadGatewayLayer::new().format(Negotiate::empty().offer("TEXT/HTML", csv).usual());
    assert_eq!(media_type(before.clone(), accept(b"text/html")).await, "text/csv", "usual() leaves it alone");
    assert_eq!(media_type(before, accept(b"application/xhtml+xml")).await, HTML);
}
