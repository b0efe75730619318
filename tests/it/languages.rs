//! Texts in the language of the client.

use std::io;

#[cfg(feature = "html")]
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{BadGatewayLayer, Failure, FailureKind, RequestPolicy, format::Texts};

use crate::mock::{Mock, request, text};

/// Every text with a mark.
fn marked(language: &'static str) -> Texts {
    Texts::english().fold(Texts::new(language).unwrap(), |texts, english| texts.text(english, format!("{english}*")))
}

fn refusing() -> Mock {
    Mock::failing(|| io::Error::from(io::ErrorKind::ConnectionRefused))
}

#[test]
fn a_translation_can_be_checked() {
    let texts = marked("de");
    assert!(texts.missing().is_empty() && texts.unknown().is_empty(), "{:?} {:?}", texts.missing(), texts.unknown());
    let all: Vec<_> = Texts::english().collect();
    assert!(all.len() > 2 * FailureKind::ALL.len());
    // Of whatever status an upstream may answer.
    assert!(all.contains(&"Too Many Requests") && all.contains(&"Not Found"));
    let texts = Texts::new("de").unwrap().text("Conection refused", "").text("Connection refused", "");
    assert_eq!(texts.unknown(), ["Conection refused"]);
    assert_eq!(texts.missing().len(), all.len() - 1);
}

#[test]
fn a_language_that_no_client_can_ask_for_is_an_error() {
    let wrong: Vec<_> = [
        ("de", true),
        ("pt-BR", true),
        ("zh-Hant-TW", true),
        ("es-419", true),
        ("", false),
        ("d", false),
        ("de_DE", false),
        ("de-", false),
        ("-de", false),
        ("123", false),
        ("de-abcdefghi", false),
        ("d\u{e9}", false),
        ("de, en", false),
    ]
    .into_iter()
    .filter(|(tag, is_valid)| Texts::new(*tag).is_ok() != *is_valid)
    .collect();
    assert!(wrong.is_empty(), "(tag, valid): {wrong:?}");
}

/// The example's, which is to be copied.
#[test]
fn german_is_complete() {
    let lines = include_str!("../../examples/shared/german.tsv").lines().map(|line| line.split_once('\t').unwrap());
    let texts = lines.clone().fold(Texts::new("de").unwrap(), |texts, (english, german)| texts.text(english, german));
    assert!(texts.missing().is_empty() && texts.unknown().is_empty(), "{:?} {:?}", texts.missing(), texts.unknown());
    let lost: Vec<_> = lines.filter(|(english, german)| english.contains("{}") != german.contains("{}")).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test]
async fn json_and_text_speak_the_language_of_the_client() {
    let layer = BadGatewayLayer::new().texts(marked("de")).texts(Texts::new("fr").unwrap());
    let rows = [
        ("text/plain", "de", "de", "502 Bad Gateway*: the upstream refused the connection*\n"),
        ("text/plain", "en, de;q=0.5", "en", "502 Bad Gateway: the upstream refused the connection\n"),
        // Nothing is translated: what is shown is English.
        ("text/plain", "fr", "en", "502 Bad Gateway: the upstream refused the connection\n"),
    ];
    let wrong = check(&layer, &rows).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    #[cfg(feature = "json")]
    {
        let rows = [
            (
                "application/json",
                "de-AT",
                "de",
                r#"{"error":"the upstream refused the connection*","message":"the upstream refused the connection*","code":"connection_refused","status":502}"#,
            ),
            // After it: a cached document would have the wrong language.
            (
                "application/json",
                "",
                "en",
                r#"{"error":"the upstream refused the connection","message":"the upstream refused the connection","code":"connection_refused","status":502}"#,
            ),
            (
                "application/json",
                "de",
                "de",
                r#"{"error":"the upstream refused the connection*","message":"the upstream refused the connection*","code":"connection_refused","status":502}"#,
            ),
        ];
        let wrong = check(&layer, &rows).await;
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// Rows of `Accept`, `Accept-Language`, `Content-Language` and content: those that are wrong.
async fn check(layer: &BadGatewayLayer, rows: &[(&str, &str, &str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (accept, languages, language, content) in rows {
        let request = request("GET", &[("accept", accept), ("accept-language", languages)]);
        let Ok(response) = layer.layer(refusing()).oneshot(request).await;
        let vary: Vec<_> = response.headers().get_all("vary").iter().cloned().collect();
        let said = response.headers()["content-language"].clone();
        let shown = text(response.into_body()).await.unwrap();
        if said != language || shown != *content || vary != ["accept", "accept-language"] {
            wrong.push(format!("{accept} {languages}: {said:?} {vary:?} {shown}"));
        }
    }
    wrong
}

/// Whatever is on the page comes from the texts, but for what users and clients have chosen.
#[cfg(feature = "html")]
#[tokio::test]
async fn no_english_is_left_on_a_translated_page() {
    use std::time::Duration;
    use tower_bad_gateway::GatewayName;

    let layer = BadGatewayLayer::new()
        .gateway_name(GatewayName::from_static("7"))
        .request_id_header(http::HeaderName::from_static("x-request-id"))
        .texts(Texts::english().fold(Texts::new("de").unwrap(), |texts, english| {
            texts.text(english, english.replace(|letter: char| letter.is_ascii_alphabetic(), "x"))
        }));
    let mut wrong = Vec::new();
    for kind in FailureKind::ALL {
        for method in ["GET", "POST"] {
            for delay in [None, Some(Duration::from_secs(1)), Some(Duration::from_secs(300))] {
                let fields = [("accept", "text/html"), ("accept-language", "de"), ("x-request-id", "7")];
                let upstream = Mock::failing(|| Failure::new(*kind));
                let layer = layer.clone().retry_after(delay);
                let Ok(response) = layer.layer(upstream).oneshot(request(method, &fields)).await;
                assert_eq!(response.headers()["content-language"], "de");
                let page = response.into_body().collect().await.unwrap().to_bytes();
                let page = std::str::from_utf8(&page).unwrap();
                assert!(page.starts_with("<!doctype html>\n<html lang=\"de\">"), "{page}");
                let (_, rest) = page.split_once("<title>").unwrap();
                let (title, rest) = rest.split_once("</title>").unwrap();
                let (_, body) = rest.split_once("<body>").unwrap();
                let mut is_tag = false;
                let words = |text: &str, is_tag: &mut bool| -> String {
                    text.chars()
                        .filter(|letter| {
                            *is_tag = (*is_tag || *letter == '<') && *letter != '>';
                            !*is_tag && letter.is_ascii_alphabetic() && !"xX".contains(*letter)
                        })
                        .collect()
                };
                let left = words(title, &mut is_tag) + &words(body, &mut is_tag);
                if !left.is_empty() {
                    wrong.push((kind, method, delay, left));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A page that is half in one language and half in another says which half is which.
#[cfg(feature = "html")]
#[tokio::test]
async fn a_few_texts_are_shown_in_their_language() {
    let few = Texts::new("de")
        .unwrap()
        .kind(FailureKind::ConnectionRefused, "", "so nicht.")
        .text("The server cannot be reached", "Weg");
    let layer = BadGatewayLayer::new().texts(few);
    let request = || request("GET", &[("accept", "text/html"), ("accept-language", "de")]);
    let Ok(response) = layer.layer(refusing()).oneshot(request()).await;
    assert_eq!(response.headers()["content-language"], "en");
    let page = text(response.into_body()).await.unwrap();
    assert!(
        page.contains("<html lang=\"en\">") && page.contains("<h1 lang=\"de\">Weg</h1>\n<p lang=\"de\">So nicht.</p>"),
        "{page}"
    );
    assert!(page.contains(">Where it failed<"), "{page}");
    let other = Mock::failing(|| Failure::new(FailureKind::DnsTimeout));
    let Ok(response) = layer.layer(other).oneshot(request()).await;
    let page = text(response.into_body()).await.unwrap();
    assert!(page.contains("<h1>The server took too long</h1>\n<p>The name of"), "{page}");
}

/// The rest of a page whose own texts are there says that it is not in the language of the page.
#[cfg(feature = "html")]
#[tokio::test]
async fn what_is_english_on_a_translated_page_says_so() {
    let missing = [FailureKind::ConnectionRefused.summary(), "Bad Gateway"];
    let texts = Texts::english()
        .filter(|english| !missing.contains(english))
        .fold(Texts::new("de").unwrap(), |texts, english| texts.text(english, "x"));
    assert_eq!(texts.missing(), missing);
    let layer = BadGatewayLayer::new().texts(texts);
    let request = request("GET", &[("accept", "text/html"), ("accept-language", "de")]);
    let Ok(response) = layer.layer(refusing()).oneshot(request).await;
    let page = text(response.into_body()).await.unwrap();
    let expected = [
        "<html lang=\"de\">",
        "<p class=\"quiet\" lang=\"en\">502 Bad Gateway</p>",
        "<h1>x</h1>",
        "<p lang=\"en\">The upstream refused the connection.</p>",
    ];
    let absent: Vec<_> = expected.iter().filter(|part| !page.contains(**part)).collect();
    assert!(absent.is_empty(), "{absent:?} in {page}");
}

/// English of one's own is for all who ask for no other language.
#[tokio::test]
async fn english_can_be_replaced_as_well() {
    let layer = BadGatewayLayer::new().texts(Texts::new("en").unwrap().kind(
        FailureKind::ConnectionRefused,
        "Away",
        "it is away",
    ));
    for languages in ["", "en", "fr", "*"] {
        let request = request("GET", &[("accept", "text/plain"), ("accept-language", languages)]);
        let Ok(response) = layer.layer(refusing()).oneshot(request).await;
        assert_eq!(text(response.into_body()).await.unwrap(), "502 Bad Gateway: it is away\n", "{languages}");
    }
}

/// A sentence of a user has no language that is known, and gRPC is for programs.
#[tokio::test]
async fn a_users_sentence_is_not_translated() {
    let mut asked = request("GET", &[("accept", "text/plain"), ("accept-language", "de")]);
    asked.extensions_mut().insert(RequestPolicy::new().message("the upstream refused the connection"));
    let layer = BadGatewayLayer::new().texts(marked("de"));
    let Ok(response) = layer.layer(refusing()).oneshot(asked).await;
    assert!(!response.headers().contains_key("content-language"));
    assert_eq!(text(response.into_body()).await.unwrap(), "502 Bad Gateway*: the upstream refused the connection\n");

    let asked = request("POST", &[("content-type", "application/grpc"), ("accept-language", "de")]);
    let Ok(response) = layer.layer(refusing()).oneshot(asked).await;
    assert_eq!(response.headers()["grpc-message"], "the upstream refused the connection");
    assert!(!response.headers().contains_key("vary"));
}
