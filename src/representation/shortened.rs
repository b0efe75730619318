//! The cut of texts that did not come from this crate.

/// The start of a text that did not come from this crate: at most 1 KiB of it, cut between two characters.
///
/// Sentences of users, gRPC messages and the paths and addresses of trace events are cut by it. The cut is not marked.
pub(crate) fn shortened(sentence: &str) -> &str {
    if sentence.len() <= LONGEST_SENTENCE {
        return sentence;
    }
    let ends = sentence.char_indices().map(|(at, character)| at + character.len_utf8());
    let end = ends.take_while(|&end| end <= LONGEST_SENTENCE).last().unwrap_or(0);
    sentence.get(..end).unwrap_or_default()
}

/// The most that [`shortened`] leaves of a text, in bytes.
const LONGEST_SENTENCE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"a".repeat(1024)).len(), 1024);
        assert_eq!(shortened(&"a".repeat(1025)).len(), 1024);
        assert_eq!(shortened(&format!("a{}", "\u{20ac}".repeat(1024))).len(), 1 + 341 * 3);
    }
}
