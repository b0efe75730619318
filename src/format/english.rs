//! What the page says, in English: the one place where it stands, and what other [`Texts`](super::Texts) are found by.
//!
//! Headings and sentences of the kinds stand in their table, in `kind`. `{}` stands for what is filled in.

// Headings, by what has failed.
pub(super) const BROKE_OFF: &str = "The server broke off";
pub(super) const NOT_AVAILABLE: &str = "The server is not available";
pub(super) const NOT_ALLOWED: &str = "Not allowed";
pub(super) const SWITCHED: &str = "The server switched unasked";
pub(super) const IN_CIRCLES: &str = "Going round in circles";
pub(super) const REPORTED: &str = "The server reported an error";
pub(super) const TOO_LONG: &str = "The server took too long";
pub(super) const NOT_REACHED: &str = "The server cannot be reached";
pub(super) const BROKEN_ANSWER: &str = "The server sent a broken answer";
pub(super) const TOO_BUSY: &str = "Too busy at the moment";
pub(super) const LOST: &str = "Something got lost on the way here";
pub(super) const OUR_SIDE: &str = "Something is wrong on our side";
pub(super) const NO_PROPER_ANSWER: &str = "The server did not answer properly";

pub(super) const NO_SUCH_PAGE: &str = "There is no such page";
pub(super) const NOT_ACCEPTED: &str = "The server did not accept the request";

// The hops, and which of them has failed.
pub(super) const WHERE: &str = "Where it failed";
pub(super) const YOU: &str = "You";
pub(super) const GATEWAY: &str = "Gateway";
/// The sentence calls it "the upstream" and the heading "the server": this name has both words.
pub(super) const UPSTREAM: &str = "Upstream server";
pub(super) const FINE: &str = "Working";
pub(super) const FAILED: &str = "Problem here";
pub(super) const UNKNOWN: &str = "Not known";

// Whether it will pass.
pub(super) const WILL_IT_PASS: &str = "Will it pass?";
/// For what usually passes by itself, and for every answer with `Retry-After`.
pub(super) const PROBABLY_TEMPORARY: &str = "This is probably temporary.";
/// For the two kinds that may be anything.
pub(super) const OUTLOOK_UNKNOWN: &str = "Nobody here can tell.";
/// For what ends only when the upstream or the gateway is changed.
pub(super) const UNTIL_REPAIRED: &str = "Probably not before somebody has repaired it.";
/// For a request that is forbidden.
pub(super) const PERMANENT: &str = "No, this is not temporary.";

// What to do.
pub(super) const WHAT_TO_DO: &str = "What to do now";
/// After a safe method, unless the outlook is bad.
pub(super) const LOAD_AGAIN: &str = "Wait a moment, then load this page again.";
/// In the place of [`LOAD_AGAIN`] after a method that is not safe.
pub(super) const WAIT: &str = "Wait a moment.";
/// Where the outlook is [`UNTIL_REPAIRED`].
pub(super) const COME_BACK: &str = "Trying again now will probably not help: come back later.";
/// Where the outlook is [`PERMANENT`].
pub(super) const NO_HELP: &str = "Trying again will not help.";
/// Where the page is not there.
pub(super) const CHECK_ADDRESS: &str = "Check the address.";
pub(super) const MAYBE_PROCESSED: &str = "What you sent may have been processed: check that before you send it again.";
pub(super) const NOT_PROCESSED: &str = "Nothing of what you sent has been processed: it is safe to send it again.";
pub(super) const COME_BACK_IN: &str = "Come back in {}.";
pub(super) const ONE_SECOND: &str = "1 second";
pub(super) const SECONDS: &str = "{} seconds";
pub(super) const MINUTES: &str = "{} minutes";
pub(super) const HOURS: &str = "{} hours";
pub(super) const REFERENCE: &str = "When you ask for help, quote the reference {}.";
pub(super) const REPORTED_BY: &str = "Reported by {}.";

/// All of them, in the order of the page.
pub(super) const PAGE: &[&str] = &[
    BROKE_OFF,
    NOT_AVAILABLE,
    NOT_ALLOWED,
    SWITCHED,
    IN_CIRCLES,
    REPORTED,
    TOO_LONG,
    NOT_REACHED,
    BROKEN_ANSWER,
    TOO_BUSY,
    LOST,
    OUR_SIDE,
    NO_PROPER_ANSWER,
    NO_SUCH_PAGE,
    NOT_ACCEPTED,
    WHERE,
    YOU,
    GATEWAY,
    UPSTREAM,
    FINE,
    FAILED,
    UNKNOWN,
    WILL_IT_PASS,
    PROBABLY_TEMPORARY,
    OUTLOOK_UNKNOWN,
    UNTIL_REPAIRED,
    PERMANENT,
    WHAT_TO_DO,
    LOAD_AGAIN,
    WAIT,
    COME_BACK,
    NO_HELP,
    CHECK_ADDRESS,
    MAYBE_PROCESSED,
    NOT_PROCESSED,
    COME_BACK_IN,
    ONE_SECOND,
    SECONDS,
    MINUTES,
    HOURS,
    REFERENCE,
    REPORTED_BY,
];
