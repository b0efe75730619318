//! Pages and documents with placeholders.

use std::{fs, io, time::Duration};

use http::{HeaderName, HeaderValue, Request};
use http_body_util::Empty;
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind, GatewayName,
    format::{Template, Texts},
};

use crate::mock::{Mock, request, text};

const ALL: &str = "{{ status }}|{{ reason }}|{{ title }}|{{ summary }}|{{ language }}|{{ code }}|{{ blame }}|{{ retry_after }}|\
                   {{ request_id }}|{{ gateway }}|{{ method }}|{{ path }}|{{ host }}|{{ is_safe }}";

async fn shown(layer: BadGatewayLayer, fields: &[(&str, &str)]) -> String {
    let upstream = Mock::failing(|| Failure::new(FailureKind::ConnectionLimitReached));
    let request = fields.iter().fold(Request::get("/path"), |request, (name, value)| request.header(*name, *value));
    let Ok(response) = layer.layer(upstream).oneshot(request.body(Empty::new()).unwrap()).await;
    text(response.into_body()).await.unwrap()
}

#[tokio::test]
async fn every_placeholder_has_its_value() {
    let layer = BadGatewayLayer::new()
        .gateway_name(GatewayName::from_static("edge"))
        .retry_after(Duration::from_secs(7))
        .request_id_header(HeaderName::from_static("x-request-id"));
    let fields = [("host", "shop.example"), ("x-request-id", "7f3a")];
    let page = shown(layer.clone().format(Template::html(ALL).unwrap()), &fields).await;
    assert_eq!(
        page,
        "503|Service Unavailable|Limit reached|too many requests to the upstream at the moment|en|connection_limit_reached|\
         gateway|7|7f3a|edge|GET|&#x2f;path|shop.example|True"
    );
    // In another language, if there are texts.
    let german = Texts::new("de").unwrap().text("Limit reached", "Grenze erreicht");
    let page = shown(
        layer.texts(german).format(Template::text("{{ language }}: {{ title }}").unwrap()),
        &[("accept-language", "de")],
    )
    .await;
    assert_eq!(page, "de: Grenze erreicht");
}

#[tokio::test]
async fn what_is_not_there_is_empty() {
    let page = shown(
        BadGatewayLayer::new()
            .format(Template::text("[{{ request_id }}{{ gateway }}{{ host }}{{ retry_after }}]").unwrap()),
        &[],
    )
    .await;
    assert_eq!(page, "[]");
    let page = shown(
        BadGatewayLayer::new().format(Template::json(r#"{"id": {{ request_id }}, "code": {{ code }}}"#).unwrap()),
        &[],
    )
    .await;
    assert_eq!(page, r#"{"id": null, "code": "connection_limit_reached"}"#);
    let page = Template::html("a{% if request_id %}<p>{{ request_id }}{% endif %}\n").unwrap();
    assert_eq!(shown(BadGatewayLayer::new().format(page), &[]).await, "a\n");
}

/// What clients and users give becomes neither markup nor a second member.
#[tokio::test]
async fn what_is_filled_in_is_escaped() {
    let layer =
        BadGatewayLayer::new().message("</p><script>\"'&").request_id_header(HeaderName::from_static("x-request-id"));
    let fields = [("host", "<b>\"'"), ("x-request-id", "\",\"a\":\"<i>")];
    let page = Template::html("<p title=\"{{ summary }}\">{{ host }}{{ request_id }}").unwrap();
    let page = shown(layer.clone().format(page), &fields).await;
    assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("<i>"), "{page}");
    assert_eq!(page.matches('"').count(), 2, "{page}");
    let json = Template::json(r#"{"host": {{ host }}, "id": {{ request_id }}, "detail": {{ summary }}}"#).unwrap();
    let json: serde_json::Value = serde_json::from_str(&shown(layer.format(json), &fields).await).unwrap();
    assert_eq!(json, serde_json::json!({ "host": "<b>\"'", "id": "\",\"a\":\"<i>", "detail": "</p><script>\"'&" }));
}

#[test]
fn a_wrong_text_is_refused_when_it_is_read() {
    let rows: Vec<(&str, Result<Template, _>, &str)> = vec![
        ("an unknown name", Template::html("{{ reqest_id }}"), "unknown placeholder `reqest_id`; there are: status, "),
        ("one that is not used", Template::html("{% if nothing %}a{% endif %}"), "unknown placeholder `nothing`"),
        ("an error in it", Template::html("{{ title"), "syntax error"),
        ("an unknown filter", Template::html("{{ title|shout }}"), "unknown filter"),
        ("a filter in a branch", Template::html("{% if request_id %}{{ title|shout }}{% endif %}"), "unknown filter"),
        ("another file", Template::html("{% include 'a.html' %}"), ""),
        (
            "the way of others",
            Template::html("{{ status }} {title}"),
            "`{title}` is no placeholder: write `{{ title }}`",
        ),
        ("no JSON", Template::json("{\"a\": {{ code }}"), "what it writes is no JSON"),
        (
            "no JSON where something is missing",
            Template::json("{\"a\": {% if host %}1{% endif %}}"),
            "what it writes is no JSON",
        ),
    ];
    let wrong: Vec<_> = rows
        .into_iter()
        .map(|(what, made, expected)| (what, made.map_err(|error| error.to_string()), expected))
        .filter(|(_, made, expected)| !made.as_ref().is_err_and(|error| error.starts_with(expected)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A script may have braces of its own.
#[test]
fn the_braces_of_a_script_are_no_placeholder() {
    Template::html("<script>const a = `${path}`; const b = {path};</script>").unwrap_err();
    Template::html("<script>const a = `${path}`; const b = { path };</script>{{ path }}").unwrap();
}

#[tokio::test]
async fn a_file_is_read_once_and_known_by_its_name() {
    let folder = std::env::temp_dir().join(format!("tower-bad-gateway-templates-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let rows = [
        ("a.html", "<p>{{ code }}", "text/html; charset=utf-8", "<p>connection_refused"),
        ("a.HTM", "<p>{{ code }}", "text/html; charset=utf-8", "<p>connection_refused"),
        ("a.json", "[{{ code }}]", "application/json", "[\"connection_refused\"]"),
        ("a.txt", "{{ code }}\n", "text/plain; charset=utf-8", "connection_refused\n"),
    ];
    for (name, content, media_type, expected) in rows {
        let file = write(name, content);
        let policy = HeaderValue::from_static("default-src 'none'");
        let template = Template::from_file(&file).unwrap().field(http::header::CONTENT_SECURITY_POLICY, policy.clone());
        fs::write(&file, "changed").unwrap();
        let layer = BadGatewayLayer::new().format(template.language(HeaderValue::from_static("de")));
        let upstream = Mock::failing(|| io::Error::from(io::ErrorKind::ConnectionRefused));
        let Ok(response) = layer.layer(upstream).oneshot(request("GET", &[])).await;
        assert_eq!(response.headers()["content-type"], media_type);
        assert_eq!(response.headers()["content-language"], "de");
        assert_eq!(response.headers()["content-security-policy"], policy);
        assert_eq!(text(response.into_body()).await.unwrap(), expected);
    }
    for (name, content, expected) in [
        ("b.html", Some("{{ nothing }}"), "b.html: unknown placeholder `nothing`"),
        ("b.xml", Some("<a/>"), "b.xml: the name ends in none of"),
        ("missing.html", None, "missing.html: it cannot be read"),
    ] {
        let file = content.map_or_else(|| folder.join(name), |content| write(name, content));
        let error = Template::from_file(file).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    fs::remove_dir_all(folder).unwrap();
}
