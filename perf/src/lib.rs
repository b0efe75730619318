//! The layer beside what would be written or picked instead of it, on the same upstream and in the same runtime.
//!
//! [`CONTENDERS`] is the one table; `benches/time` (criterion) and `benches/instructions` (callgrind) run its rows, and so
//! exactly the same machine code: [`measured`] is what both count. `perf/run` runs the two and makes the tables of results.

mod contenders;
mod content;
mod drive;
mod scenario;

pub use self::{
    contenders::{CONTENDERS, Contender},
    drive::{Answer, measured},
    scenario::{Request, Scenario},
};

/// Every contender in every scenario; the position of a pair is its number in the benchmark of instructions.
pub fn pairs() -> impl Iterator<Item = (&'static Contender, Scenario)> {
    CONTENDERS.iter().flat_map(|contender| Scenario::ALL.map(|scenario| (contender, scenario)))
}
