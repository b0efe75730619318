//! The command line.

use std::{error::Error, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri, uri::Scheme};
use lexopt::{
    Arg::{Long, Short, Value},
    Parser, ValueExt,
};

pub(crate) const HELP: &str = "\
Asks a URL, and says in plain words which hop failed, what that means and what to check next.

Usage: bad-gateway-diagnose [URL] [options]

Without a URL it builds client -> edge -> origin -> upstream on this machine, breaks one of them after the other, and
checks that it names the right one.

  --json           the same for programs
  --timeout TIME   how long all of it may take, such as 500ms or 1m [10s]
  --ca FILE        trust the certificates of this PEM file instead of the system's
  --header FIELD   send this field as well, such as 'x-debug: 1'; may be given more than once
  --runbook        every kind of failure, what it means and what to look at first, as Markdown; asks nothing
  --help           this text

The exit code is
  0  if no hop failed: what finds fault with the request, such as 403 or 404, is no failure, nor is a body that was still
     coming when the time was over
  1  if one did, or this computer could not ask (in the demonstration: if a wrong one was named)
  2  if the command line cannot be understood

--json prints one object:
  url, status, path         what was asked, what was answered (or null), and the hops from here on, as far as they are named
  failed                    whether a hop failed, as the exit code says it
  verdict, means, check     the sentences of the text
  not_told                  what cannot be known from the answer, or null
  hop                       null, or {place, of}: place is first, first_or_behind, at, at_or_behind, behind, unknown, client,
                            here or none_known, of is the name of that hop or null
  kind, class               the type of failure, in the tokens of Proxy-Status where it has one, and its class, or null
  by                        how that is known: seen, proxy_status, body, looks or status
  evidence                  what was received that bears on it, as strings
  milliseconds              dns, connect, tls, head and whole; null for what was not done
In the demonstration it is an array of {fault, broken, named, right, diagnosis}.
";

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) url: Option<Uri>,
    pub(crate) json: bool,
    pub(crate) runbook: bool,
    pub(crate) timeout: Duration,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Nobody waits longer, and no clock overflows.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Options {
    /// Reads the command line; `None` when it only asked for help.
    pub(crate) fn parse(mut parser: Parser) -> Result<Option<Self>, Box<dyn Error>> {
        let timeout = Duration::from_secs(10);
        let mut options = Self { url: None, json: false, runbook: false, timeout, ca: None, headers: Vec::new() };
        while let Some(argument) = parser.next()? {
            match argument {
                Value(text) if options.url.is_none() => options.url = Some(url(&text.string()?)?),
                Long("json") => options.json = true,
                Long("runbook") => options.runbook = true,
                Long("timeout") => {
                    let text = parser.value()?.string()?;
                    let time =
                        humantime::parse_duration(&text).map_err(|error| format!("--timeout {text}: {error}"))?;
                    if time.is_zero() || time > LONGEST {
                        return Err(format!("--timeout {text}: more than nothing, and a day at most").into());
                    }
                    options.timeout = time;
                }
                Long("ca") => options.ca = Some(parser.value()?.into()),
                Long("header") => options.headers.push(header(&parser.value()?.string()?)?),
                Long("help") | Short('h') => return Ok(None),
                other => return Err(format!("{}; --help lists the options", other.unexpected()).into()),
            }
        }
        if options.url.is_none() && (options.ca.is_some() || !options.headers.is_empty()) {
            return Err("--ca and --header need a URL".into());
        }
        Ok(Some(options))
    }
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), Box<dyn Error>> {
    let wrong = |what: &str| format!("--header {line}: {what}");
    let (name, value) = line.split_once(':').ok_or_else(|| wrong("name: value is needed"))?;
    let name = HeaderName::try_from(name.trim()).map_err(|error| wrong(&error.to_string()))?;
    if OWN.contains(&name.as_str()) {
        return Err(wrong("that field is about the connection, and this asks once, by GET and without a body").into());
    }
    Ok((name, HeaderValue::try_from(value.trim()).map_err(|error| wrong(&error.to_string()))?))
}

/// With these a request would not be what it says, or an answer not be for it.
const OWN: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// `http` or `https`, and a host.
pub(crate) fn url(text: &str) -> Result<Uri, String> {
    // A password is not for a log.
    let shown = text.rsplit_once('@').map_or(text.to_owned(), |(_, rest)| format!("...@{rest}"));
    let wrong = |what: &str| format!("{shown}: {what}");
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest).split(['/', '?', '#']).next();
    if authority.is_some_and(|authority| authority.contains('%')) {
        return Err(wrong("a zone (%) or an escaped host cannot be asked; an address without a zone can"));
    }
    let uri: Uri = text.parse().map_err(|error: http::uri::InvalidUri| wrong(&error.to_string()))?;
    let is_known = uri.scheme().is_some_and(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme));
    let Some(authority) = uri.authority().filter(|authority| is_known && !authority.host().is_empty()) else {
        return Err(wrong("http:// or https:// and a host are needed"));
    };
    if authority.as_str().contains('@') {
        return Err(wrong("a name and password have no meaning here; --header 'authorization: ...' has"));
    }
    // A port that is none reads as no port.
    let port = authority.as_str().get(authority.host().len()..).unwrap_or_default();
    if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(wrong("a port between 1 and 65535 is needed"));
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_asked_is_refused_before_it_is_asked() {
        let wrong: Vec<_> = [
            ("http://www.example", true),
            ("https://www.example:8443/path?query=1#part", true),
            ("http://[::1]:80/", true),
            ("http://www.example/a@b", true),
            ("http://www.example/%41", true),
            ("www.example", false),
            ("/path", false),
            ("ftp://www.example/", false),
            ("http://", false),
            ("http://user:secret@www.example/", false),
            ("http://user:secret@www.example:99999/", false),
            ("http://user:secret@", false),
            ("http://www.example:0/", false),
            ("http://www.example:65536/", false),
            ("http://www.example:/", false),
            ("http://www.example:http/", false),
            ("http://[fe80::1%25eth0]/", false),
            ("http://[fe80::1%eth0]/", false),
        ]
        .into_iter()
        .map(|(text, expected)| (text, url(text), expected))
        .filter(|(_, got, expected)| {
            let leaks = got.as_ref().err().is_some_and(|error| error.contains("secret"));
            got.is_ok() != *expected || leaks
        })
        .collect();
        assert!(wrong.is_empty(), "(url, got, expected): {wrong:?}");
        assert!(url("http://[fe80::1%25eth0]/").unwrap_err().contains("zone"));
    }

    fn parse(arguments: &[&str]) -> Result<Option<Options>, String> {
        Options::parse(Parser::from_args(arguments)).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_taken_or_refused_as_a_whole() {
        const URL: &str = "http://www.example";
        let wrong: Vec<_> = [
            (&[][..], true),
            (&["--json"], true),
            (&["--json", URL], true),
            (&["--help"], true),
            (&["-h"], true),
            (&[URL, "--timeout", "500ms"], true),
            (&[URL, "--timeout=24h"], true),
            (&[URL, "--timeout", "0s"], false),
            (&[URL, "--timeout", "2days"], false),
            (&[URL, "--timeout", "soon"], false),
            (&[URL, "--timeout"], false),
            (&[URL, URL], false),
            (&[URL, "--no-such"], false),
            (&["--header", "a: b"], false),
            (&["--ca", "file"], false),
            (&[URL, "--ca", "file", "--header", "a: b"], true),
            (&[URL, "--header", "host: other.example"], true),
            (&[URL, "--header", "a"], false),
            (&[URL, "--header", "a b: c"], false),
            (&[URL, "--header", "a: b\r\nc: d"], false),
            (&[URL, "--header", "Content-Length: 3"], false),
            (&[URL, "--header", "transfer-encoding: chunked"], false),
            (&[URL, "--header", "upgrade: websocket"], false),
        ]
        .into_iter()
        .filter(|(arguments, expected)| parse(arguments).is_ok() != *expected)
        .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn options_are_kept_as_they_were_given() {
        let given = ["--header", "a: 1", "--timeout", "500ms", "http://www.example/", "--json", "--header", "a:2"];
        let options = parse(&given).unwrap().unwrap();
        assert_eq!(options.url, Some(Uri::from_static("http://www.example/")));
        assert!(options.json && options.ca.is_none());
        assert_eq!(options.timeout, Duration::from_millis(500));
        let headers: Vec<_> = options.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(headers, [("a", &b"1"[..]), ("a", b"2")]);
        let usual = parse(&["--ca", "file", "http://www.example/"]).unwrap().unwrap();
        assert_eq!((usual.timeout, usual.ca), (Duration::from_secs(10), Some("file".into())));
        assert!(!usual.json && parse(&["--help"]).unwrap().is_none());
    }
}
