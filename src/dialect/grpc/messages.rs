//! Where the messages of a gRPC body begin and end.
//!
//! A gRPC body is a row of messages, each behind a prefix of five bytes: one that says whether the message is compressed, and four of its
//! length ([gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), `Length-Prefixed-Message`). Between two
//! messages a call may be ended by trailers that every client understands; inside of one only a reset is honest. The frames of
//! a body keep to no boundary: a prefix may be split anywhere. The content itself is not looked at, compressed or not.

/// Follows the messages of one body. Five bytes that need no alignment, since they move with every call; no content is kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Messages {
    /// While a message comes: its bytes that are still to come, as a big-endian number. While a prefix comes: the length, as far as it was
    /// read.
    left: [u8; 4],
    /// How many bytes of the prefix have come: 0 between two messages, [`PREFIX`] inside of one, [`LOST`] for good after a prefix that
    /// is none.
    prefix: u8,
}

impl Messages {
    /// Whether all that has come are whole messages.
    #[inline]
    pub(crate) fn is_between(self) -> bool {
        self.prefix == 0
    }

    /// Reads on: `data` is the next part of the body.
    #[inline]
    pub(crate) fn read(&mut self, mut data: &[u8]) {
        loop {
            if self.prefix == PREFIX {
                let left = u32::from_be_bytes(self.left);
                let Some((_, behind)) = data.split_at_checked(usize::try_from(left).unwrap_or(usize::MAX)) else {
                    // The data is shorter than what is left, which is a `u32`.
                    self.left = left.saturating_sub(u32::try_from(data.len()).unwrap_or(u32::MAX)).to_be_bytes();
                    return;
                };
                data = behind;
                self.prefix = 0;
            }
            data = match (self.prefix, data) {
                (_, []) | (LOST, _) => return,
                // Nearly every prefix stands in one frame.
                (0, [0 | 1, length_0, length_1, length_2, length_3, content @ ..]) => {
                    self.left = [*length_0, *length_1, *length_2, *length_3];
                    self.prefix = PREFIX;
                    content
                }
                (read, [byte, rest @ ..]) => {
                    self.prefix_byte(read, *byte);
                    rest
                }
            };
        }
    }

    /// Part of the body was not seen: no boundary is known any more.
    pub(crate) fn lose(&mut self) {
        self.prefix = LOST;
    }

    /// A prefix that is split over two frames.
    #[cold]
    fn prefix_byte(&mut self, read: u8, byte: u8) {
        if read == 0 {
            // Other values are not defined: what follows may be anything, a page of HTML for instance.
            *self = Self { left: [0; 4], prefix: if byte <= 1 { 1 } else { LOST } };
            return;
        }
        let [_, length_0, length_1, length_2] = self.left;
        self.left = [length_0, length_1, length_2, byte];
        self.prefix = read.saturating_add(1);
    }
}

/// The bytes of a whole prefix.
const PREFIX: u8 = 5;

/// No boundary is known any more.
const LOST: u8 = u8::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(flag: u8, length: usize) -> Vec<u8> {
        let prefix = u32::try_from(length).unwrap().to_be_bytes();
        [&[flag][..], &prefix, &vec![b'x'; length]].concat()
    }

    /// Where whole messages end, by a reader that has all of the body before it.
    fn boundaries(body: &[u8]) -> Vec<usize> {
        let (mut at, mut ends) = (0, vec![0]);
        while let Some(prefix) = body.get(at..at + 5) {
            at += 5 + usize::try_from(u32::from_be_bytes(prefix[1..].try_into().unwrap())).unwrap();
            ends.push(at);
        }
        ends
    }

    #[test]
    fn a_boundary_is_found_wherever_frames_are_cut() {
        let body = [message(0, 3), message(1, 0), message(0, 300), message(0, 1), message(0, 70_000)].concat();
        let ends = boundaries(&body);
        let sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 64, 1000, 16_384, body.len()];
        for size in sizes {
            let (mut messages, mut at) = (Messages::default(), 0);
            for frame in body.chunks(size) {
                messages.read(frame);
                at += frame.len();
                assert_eq!(messages.is_between(), ends.contains(&at), "frames of {size} bytes, at {at}");
            }
        }
        // Every pair of cuts in the first messages.
        let body = &body[..20];
        for first in 0..=20 {
            for second in first..=20 {
                let mut messages = Messages::default();
                for frame in [&body[..first], &body[first..second], &body[second..]] {
                    messages.read(frame);
                }
                assert!(!messages.is_between(), "cut at {first} and {second}: it is inside of the third");
            }
        }
    }

    /// 3000 bodies of random messages, in random frames, against the reader that has all of them before it.
    #[test]
    fn random_frames_are_followed_as_if_they_were_one() {
        let mut seed = 7_u32;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            usize::try_from((seed >> 8) % below).unwrap()
        };
        for run in 0..3000 {
            let body: Vec<u8> =
                (0..random(6)).flat_map(|_| message(u8::try_from(random(2)).unwrap(), random(40))).collect();
            // Some end too early.
            let body = &body[..body.len() - random(3).min(body.len())];
            let (ends, mut messages, mut at) = (boundaries(body), Messages::default(), 0);
            while at < body.len() {
                let frame = &body[at..(at + random(12)).min(body.len())];
                messages.read(frame);
                at += frame.len();
                assert_eq!(messages.is_between(), ends.contains(&at), "run {run}, at {at} of {body:?}");
            }
        }
    }

    #[test]
    fn after_a_prefix_that_is_none_no_boundary_is_known() {
        for flag in [2, b'<', 255] {
            let mut messages = Messages::default();
            messages.read(&message(0, 2));
            assert!(messages.is_between());
            messages.read(&message(flag, 2));
            assert!(!messages.is_between(), "{flag}");
            messages.read(&message(0, 2));
            assert!(!messages.is_between(), "{flag}");
        }
    }

    #[test]
    fn the_longest_message_is_followed_to_its_end() {
        let mut messages = Messages::default();
        messages.read(&[0, 255, 255, 255, 255]);
        let frame = vec![0; 1 << 24];
        for _ in 0..255 {
            messages.read(&frame);
            assert!(!messages.is_between());
        }
        messages.read(&frame[..frame.len() - 1]);
        assert!(messages.is_between());
    }
}
