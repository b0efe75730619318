//! Looks for a secret in bytes, however it is written.

use std::collections::BTreeSet;

use base64::{
    Engine,
    engine::{
        GeneralPurpose,
        general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
    },
};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Encoding {
    /// As it is, in whatever case.
    Raw,
    /// All of it or some of it escaped (RFC 3986, section 2.1).
    Percent,
    /// Either alphabet of RFC 4648, wherever in the encoded text it begins.
    Base64,
    Hex,
}

impl Encoding {
    pub(crate) const ALL: [Self; 4] = [Self::Raw, Self::Percent, Self::Base64, Self::Hex];
}

/// What is searched, prepared for many secrets.
pub(crate) struct Haystack {
    text: String,
    lower: String,
    unescaped: String,
}

impl Haystack {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let text = latin1(bytes);
        let lower = text.to_ascii_lowercase();
        let unescaped = latin1(&unescape(bytes)).to_ascii_lowercase();
        Self { text, lower, unescaped }
    }

    /// In which encodings this is there.
    pub(crate) fn find(&self, secret: &str) -> BTreeSet<Encoding> {
        self.find_in(secret, &Encoding::ALL.into())
    }

    /// The same, where others are known not to be there.
    pub(crate) fn find_in(&self, secret: &str, among: &BTreeSet<Encoding>) -> BTreeSet<Encoding> {
        let lower = secret.to_ascii_lowercase();
        let is_in = |encoding: &Encoding| match encoding {
            Encoding::Raw => self.lower.contains(&lower),
            Encoding::Percent => self.unescaped.matches(&lower).count() > self.lower.matches(&lower).count(),
            Encoding::Base64 => in_base64(secret).iter().any(|part| self.text.contains(part)),
            Encoding::Hex => self.lower.contains(&secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()),
        };
        among.iter().copied().filter(is_in).collect()
    }
}

/// Every byte is a character.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        all.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    all
}

/// The characters that depend on the secret alone, for each of three places in a group, in both alphabets.
fn in_base64(secret: &str) -> BTreeSet<String> {
    let part = |engine: &GeneralPurpose, before: usize| {
        let encoded = engine.encode([&[0; 2][..before], secret.as_bytes()].concat());
        encoded[(before * 8).div_ceil(6)..(before + secret.len()) * 8 / 6].to_owned()
    };
    [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD]
        .into_iter()
        .flat_map(|engine| (0..3).map(move |before| part(engine, before)))
        .collect()
}

#[test]
fn a_secret_is_found_in_every_encoding_and_nowhere_else() {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    // The second needs characters in which the alphabets differ.
    for secret in ["q7xzv3kp0a1b2c3d4e5f", "~~~???>>>~~~???>>>"] {
        let bytes = secret.as_bytes();
        let mut all = vec![
            (Encoding::Raw, secret.to_owned()),
            (Encoding::Raw, secret.to_uppercase()),
            (Encoding::Percent, bytes.iter().map(|byte| format!("%{byte:02x}")).collect()),
            (Encoding::Percent, bytes.iter().map(|byte| format!("%{byte:02X}")).collect()),
            (Encoding::Percent, format!("%{:02X}{}", bytes[0], &secret[1..])),
            (Encoding::Hex, bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            (Encoding::Hex, bytes.iter().map(|byte| format!("{byte:02X}")).collect()),
        ];
        for before in ["", "a", "ab", "abc", "abcd"] {
            let text = format!("{before}{secret}, and more");
            all.extend([STANDARD, URL_SAFE].map(|engine| (Encoding::Base64, engine.encode(&text))));
        }
        for (encoding, text) in all {
            let found = |text: &str| Haystack::of(text.as_bytes()).find(secret);
            assert_eq!(found(&format!("\u{0}{text}=")), BTreeSet::from([encoding]), "{text}");
            let broken: String = text.chars().rev().collect();
            assert!(found(&broken).is_empty(), "{broken}");
        }
    }
    assert!(Haystack::of(b"").find("q7xzv3kp").is_empty());
    assert_eq!(unescape(b"%41%4%zz%"), b"A%4%zz%");
}
