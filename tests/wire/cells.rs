//! Every way in which a body may break, at every point of it: what the upstream does, and what is right then.

use std::fmt;

use tower_bad_gateway::FailureKind::{self, *};

use crate::{
    h2_frames::*,
    upstream::Act::{self, *},
};

/// How the upstream says where its body ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    Length,
    Chunks,
    Close,
    H2Length,
    H2,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    Fin,
    Rst,
    BadChunk,
    Stall,
    ResetNoError,
    ResetCancel,
    /// The stream is above the last one that will be answered.
    GoAway,
    GoAwayError,
}

/// How much of the body has been sent by then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum At {
    Start,
    Middle,
    /// All but the very end: the last byte of a length, the last chunk, END_STREAM.
    End,
}

/// What the client has seen by then. Without that the fault comes in one segment with the rest, where it is made of bytes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Shape {
    AtOnce,
    AfterHead,
    AfterContent,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Downstream {
    H1,
    H2,
}

/// What is right.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    /// An answer of the gateway by its kind, or a good head and a visible abort.
    Broken(&'static [FailureKind]),
    /// All of it, and nothing told; with a reason.
    Complete(&'static str),
    /// There is no such thing.
    Impossible(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) framing: Framing,
    pub(crate) fault: Fault,
    pub(crate) at: At,
    pub(crate) downstream: Downstream,
}

impl Cell {
    pub(crate) fn all() -> Vec<Self> {
        use {At::*, Downstream as To, Fault::*, Framing::*};
        let mut all = Vec::new();
        for framing in [Length, Chunks, Close, H2Length, H2] {
            for fault in [Fin, Rst, BadChunk, Stall, ResetNoError, ResetCancel, GoAway, GoAwayError] {
                for at in [Start, Middle, End] {
                    all.extend([To::H1, To::H2].map(|downstream| Self { framing, fault, at, downstream }));
                }
            }
        }
        all
    }

    /// `counted` says whether a server over HTTP/1 sends the length that the upstream has promised, and stops asking then.
    pub(crate) fn expected(&self, counted: bool) -> Expected {
        use Expected::{Broken, Complete, Impossible};
        let all_came = self.has_all_content();
        match self.fault {
            Fault::BadChunk if self.framing != Framing::Chunks => Impossible("no chunks"),
            Fault::ResetNoError | Fault::ResetCancel | Fault::GoAway | Fault::GoAwayError
                if !self.framing.is_http2() =>
            {
                Impossible("no frames in HTTP/1")
            }
            Fault::Fin if self.framing == Framing::Close => Complete("cannot be told from complete"),
            // HTTP/2 completes a response by END_STREAM alone (RFC 9113, section 8.1), but the content is all there, and the
            // message that this client gets was complete with its last byte (RFC 9112, section 6.3): too late to take back.
            _ if all_came && counted && self.downstream == Downstream::H1 => Complete("every byte of the length came"),
            Fault::Fin if self.framing.is_http2() => Broken(&[ConnectionTerminated]),
            Fault::Fin => Broken(&[HttpResponseIncomplete]),
            Fault::Rst => Broken(&[ConnectionTerminated]),
            Fault::BadChunk => Broken(&[HttpResponseTransferCoding]),
            Fault::Stall => Broken(&[ConnectionReadTimeout]),
            Fault::ResetNoError | Fault::ResetCancel => Broken(&[HttpResponseIncomplete]),
            Fault::GoAway => Broken(&[HttpResponseIncomplete]),
            Fault::GoAwayError => Broken(&[ConnectionTerminated]),
        }
    }

    /// Whether every byte of a length comes, and only the end of the stream does not.
    pub(crate) fn has_all_content(&self) -> bool {
        self.framing == Framing::H2Length && self.at == At::End
    }

    /// Those that differ.
    pub(crate) fn shapes(&self) -> &'static [Shape] {
        match (self.fault, self.at) {
            (Fault::Stall, At::Start) => &[Shape::AtOnce],
            (Fault::Stall, _) | (_, At::Start) => &[Shape::AtOnce, Shape::AfterHead],
            _ => &[Shape::AtOnce, Shape::AfterHead, Shape::AfterContent],
        }
    }

    /// The bytes of the content that the upstream sends.
    pub(crate) fn sent(&self) -> &'static [u8] {
        match (self.at, self.framing) {
            (At::Start, _) => b"",
            (At::Middle, _) => &CONTENT[..HALF],
            (At::End, Framing::Length) => &CONTENT[..CONTENT.len() - 1],
            (At::End, _) => CONTENT,
        }
    }

    pub(crate) fn acts(&self, shape: Shape) -> Vec<Act> {
        let (bytes, then) = self.fault.acts();
        let parts = [self.framing.head(), self.framing.content(self.sent()), bytes];
        let segments = match shape {
            Shape::AtOnce => vec![parts.concat()],
            Shape::AfterHead => vec![parts[0].clone(), parts[1..].concat()],
            Shape::AfterContent => vec![parts[..2].concat(), parts[2].clone()],
        };
        let mut acts = Vec::new();
        for segment in segments {
            if !acts.is_empty() {
                acts.push(Seen);
            }
            acts.push(Send(Vec::leak(segment)));
        }
        acts.extend(then);
        acts
    }
}

impl Framing {
    pub(crate) fn is_http2(self) -> bool {
        matches!(self, Self::H2Length | Self::H2)
    }

    fn head(self) -> Vec<u8> {
        let length = CONTENT.len();
        match self {
            Self::Length => format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into(),
            Self::Chunks => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".into(),
            Self::Close => b"HTTP/1.1 200 OK\r\n\r\n".into(),
            Self::H2Length => {
                let length = field(b"content-length", length.to_string().as_bytes());
                headers(1, 0, &[STATUS_200, &length].concat())
            }
            Self::H2 => headers(1, 0, STATUS_200),
        }
    }

    fn content(self, content: &[u8]) -> Vec<u8> {
        let parts = content.chunks(HALF);
        match self {
            Self::Length | Self::Close => content.into(),
            Self::Chunks => {
                parts.flat_map(|part| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()).collect()
            }
            Self::H2Length | Self::H2 => parts.flat_map(|part| frame(DATA, 0, 1, part)).collect(),
        }
    }
}

impl Fault {
    /// What is sent of it, and what happens to the connection.
    fn acts(self) -> (Vec<u8>, Option<Act>) {
        match self {
            Self::Fin => (Vec::new(), Some(Fin)),
            Self::Rst => (Vec::new(), Some(Rst)),
            Self::BadChunk => (b"xyz\r\n".into(), None),
            Self::Stall => (Vec::new(), Some(Wait)),
            Self::ResetNoError => (rst_stream(1, 0x0), None),
            Self::ResetCancel => (rst_stream(1, 0x8), None),
            Self::GoAway => (goaway(0, 0x0, b""), None),
            Self::GoAwayError => (goaway(1, 0x2, b"boom"), Some(Fin)),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let framing = match self.framing {
            Framing::Length => "h1 length",
            Framing::Chunks => "h1 chunks",
            Framing::Close => "h1 close",
            Framing::H2Length => "h2 length",
            Framing::H2 => "h2",
        };
        let fault = match self.fault {
            Fault::Fin => "FIN",
            Fault::Rst => "RST",
            Fault::BadChunk => "bad chunk",
            Fault::Stall => "stall",
            Fault::ResetNoError => "RST_STREAM(NO_ERROR)",
            Fault::ResetCancel => "RST_STREAM(CANCEL)",
            Fault::GoAway => "GOAWAY(NO_ERROR)",
            Fault::GoAwayError => "GOAWAY(error), FIN",
        };
        let at = match self.at {
            At::Start => "start",
            At::Middle => "middle",
            At::End => "end",
        };
        let downstream = match self.downstream {
            Downstream::H1 => "h1",
            Downstream::H2 => "h2",
        };
        write!(f, "{framing:9} {fault:20} {at:6} to {downstream}")
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtOnce => "at once",
            Self::AfterHead => "after the head",
            Self::AfterContent => "after the content",
        })
    }
}

/// More than 32 bytes: less is not compressed.
const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ.";
const HALF: usize = 32;
