//! What others have sent, made fit for a terminal.

/// One line of it: what could move the cursor, change colours or turn the direction of writing is a `?`, and what is too long
/// ends in `...`.
pub(crate) fn clean(bytes: &[u8], longest: usize) -> String {
    // Beyond this it is cut off anyway: four bytes are the longest character.
    let start = bytes.get(..longest.saturating_add(1).saturating_mul(4)).unwrap_or(bytes);
    let text = String::from_utf8_lossy(start);
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    let line = words.join(" ");
    let harmless = |char: char| if (' '..='~').contains(&char) || char.is_alphanumeric() { char } else { '?' };
    let mut short: String = line.chars().map(harmless).take(longest).collect();
    if line.chars().count() > longest || start.len() < bytes.len() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn nothing_of_it_reaches_the_terminal() {
        let wrong: Vec<_> = [
            (&b"plain text"[..], "plain text"),
            (b"\x1b[31mred\x1b]0;title\x07", "?[31mred?]0;title?"),
            (b"a\r\nb\t\t c", "a b c"),
            (b"\xff\xfe\x00", "???"),
            ("caf\u{e9} \u{202e}txt.exe \u{9b}2J".as_bytes(), "caf\u{e9} ?txt.exe ?2J"),
            (b"0123456789012345678901234567890", "0123456789012345678901234..."),
        ]
        .into_iter()
        .map(|(bytes, expected)| (clean(bytes, 25), expected))
        .filter(|(got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(got, expected): {wrong:?}");
        assert_eq!(clean(&[b'x'; 1 << 20], 10), "xxxxxxxxxx...");
    }
}
