//! Secrets, each of them at one place of one exchange.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where a secret was put.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) place: &'static str,
    pub(crate) text: String,
    /// Whether it belongs to what is rightly passed on, where a body breaks after its head.
    pub(crate) passes: bool,
}

/// Makes the secrets of one exchange.
#[derive(Default)]
pub(crate) struct Mint(Vec<Secret>);

impl Mint {
    /// A new one for this place: lower-case letters and digits, which names of hosts, of fields and of methods may have.
    pub(crate) fn at(&mut self, place: &'static str) -> String {
        self.put(place, format!("{MARK}{}", letters(unique())), false)
    }

    /// The same, at a place that is passed on.
    pub(crate) fn through(&mut self, place: &'static str) -> String {
        let text = self.at(place);
        self.0.last_mut().unwrap().passes = true;
        text
    }

    /// 32 hexadecimal digits.
    pub(crate) fn number(&mut self, place: &'static str) -> String {
        self.put(place, format!("{:016x}{:016x}", unique(), unique()), false)
    }

    /// What nobody could choose.
    pub(crate) fn put(&mut self, place: &'static str, text: String, passes: bool) -> String {
        self.0.push(Secret { place, text: text.clone(), passes });
        text
    }

    pub(crate) fn secrets(self) -> Vec<Secret> {
        self.0
    }
}

/// What all of them begin with: a part of one is one, too.
pub(crate) const MARK: &str = "q7xzv3kp";

/// Never the same twice, and hard to guess from the last (the finalizer of SplitMix64, a bijection).
fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// 13 of 36 hold any number.
fn letters(mut number: u64) -> String {
    let mut text = String::new();
    for _ in 0..13 {
        text.push(char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::try_from(number % 36).unwrap()]));
        number /= 36;
    }
    text
}
