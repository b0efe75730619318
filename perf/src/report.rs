//! Puts the results of both benchmarks into Markdown tables, one of calls and one of the frames of a body, and says where the two
//! disagree; run by `perf/run`.
//!
//! `report INSTRUCTIONS TIMES`: the JSON lines of gungraun, and the folder of criterion.

use std::{collections::HashMap, env, error::Error, fs, ops::RangeInclusive, path::Path};

use serde_json::Value;
use tower_bad_gateway_perf::{Scenario, pairs};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(instructions), Some(times), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: report INSTRUCTIONS TIMES".into());
    };
    let instructions = read_instructions(&fs::read_to_string(instructions)?)?;
    let cells = pairs()
        .enumerate()
        .map(|(position, (contender, scenario))| {
            let count = instructions.get(&position).ok_or(format!("{contender:?} was not counted"))?;
            Ok(Cell {
                contender: contender.name,
                scenario,
                instructions: count / f64::from(scenario.counted_calls()),
                nanoseconds: read_time(Path::new(&times), contender.name, scenario)?,
            })
        })
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    print!("{}\n{}\n", calls(&cells), frames(&cells));
    print!("{}\n{}{}", agreement(&cells), budgets(&cells), frame_budgets(&cells));
    Ok(())
}

/// What was measured of one contender in one scenario, per call.
#[derive(Clone)]
struct Cell {
    contender: &'static str,
    scenario: Scenario,
    instructions: f64,
    nanoseconds: f64,
}

/// Instructions of all the counted calls, by the position of the pair.
fn read_instructions(lines: &str) -> Result<HashMap<usize, f64>, Box<dyn Error>> {
    lines
        .lines()
        .map(|line| {
            let summary: Value = serde_json::from_str(line)?;
            let position = summary.get("id").and_then(Value::as_str).and_then(|id| id.strip_prefix("pair_"));
            let count = summary.pointer("/profiles/0/data/total/metrics/Ir/values/new").and_then(Value::as_f64);
            let (Some(position), Some(count)) = (position, count.filter(|count| *count > 0.0)) else {
                return Err(format!("not the count of a pair: {line}").into());
            };
            Ok((position.parse()?, count))
        })
        .collect()
}

/// The least median of all rounds: a busy machine only adds to a time.
fn read_time(folder: &Path, contender: &str, scenario: Scenario) -> Result<f64, Box<dyn Error>> {
    let mut least = f64::INFINITY;
    for round in fs::read_dir(folder.join(scenario.name()).join(contender))? {
        let file = round?.path().join("estimates.json");
        let estimates: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
        let median = estimates.pointer("/median/point_estimate").and_then(Value::as_f64);
        least = least.min(median.ok_or(format!("{}: no median", file.display()))?);
    }
    Ok(least)
}

fn calls(cells: &[Cell]) -> String {
    let mut text = String::from(CALLS_HEAD);
    for row in cells.chunks(Scenario::ALL.len()) {
        let calls = || row.iter().zip(cells).filter(|(cell, _)| Scenario::CALLS.contains(&cell.scenario));
        text.extend(row.iter().take(1).map(|cell| format!("| {} |", cell.contender)));
        for (cell, bare) in calls() {
            text += &format!(" {:.0} | {:+.0} |", cell.instructions, cell.instructions - bare.instructions);
        }
        for (cell, bare) in calls().filter(|(cell, _)| cell.scenario != Scenario::Ok0) {
            text += &format!(" {:.0} | {:.2} |", cell.nanoseconds, cell.nanoseconds / bare.nanoseconds);
        }
        text.push('\n');
    }
    text
}

const CALLS_HEAD: &str = "\
| contender | ok0 instr | over bare | ok1 instr | over bare | err1 instr | over bare | ok1 ns | to bare | err1 ns | to bare |
| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |
";

fn frames(cells: &[Cell]) -> String {
    let mut text = String::from(FRAMES_HEAD);
    for row in cells.chunks(Scenario::ALL.len()) {
        text.extend(row.iter().take(1).map(|cell| format!("| {} |", cell.contender)));
        for scenario in Scenario::BODIES {
            text.extend(Added::to_a_frame(row, cells, scenario).map(|added| {
                format!(" {:+.0} | {:+.1} | {:+.1} |", added.instructions, added.nanoseconds, added.with_call)
            }));
        }
        text.push('\n');
    }
    text
}

const FRAMES_HEAD: &str = "\
| contender | ready instr | ns | with call | pending instr | ns | with call | counted instr | ns | with call |
| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |
";

/// What a contender adds to a frame.
struct Added {
    instructions: f64,
    nanoseconds: f64,
    /// Nanoseconds with a share of what it adds to the call.
    with_call: f64,
}

impl Added {
    /// From the cells of one contender and of the bare upstream.
    ///
    /// What the head and the first frame cost is taken from the call that has no more than these.
    fn to_a_frame(row: &[Cell], bare: &[Cell], scenario: Scenario) -> Option<Self> {
        let over = |scenario, of: fn(&Cell) -> f64| {
            let (cell, bare) = row.iter().zip(bare).find(|(cell, _)| cell.scenario == scenario)?;
            Some(of(cell) - of(bare))
        };
        let frames = f64::from(scenario.frames());
        let further = |of| Some((over(scenario, of)? - over(Scenario::Ok0, of)?) / (frames - 1.0));
        Some(Self {
            instructions: further(|cell| cell.instructions)?,
            nanoseconds: further(|cell| cell.nanoseconds)?,
            with_call: over(scenario, |cell| cell.nanoseconds)? / frames,
        })
    }
}

/// Of two contenders that differ clearly in instructions, the one with more should take longer, too.
fn agreement(cells: &[Cell]) -> String {
    let mut clear = 0;
    let mut disagreements = Vec::new();
    for less in cells {
        let more = cells.iter().filter(|more| {
            more.scenario == less.scenario && more.instructions > CLEAR_INSTRUCTIONS * less.instructions
        });
        for more in more {
            clear += 1;
            if less.nanoseconds > CLEAR_TIME * more.nanoseconds {
                disagreements.push(format!(
                    "- {}: {} takes {:.0} instr and {:.0} ns, {} {:.0} instr and {:.0} ns\n",
                    less.scenario.name(),
                    less.contender,
                    less.instructions,
                    less.nanoseconds,
                    more.contender,
                    more.instructions,
                    more.nanoseconds
                ));
            }
        }
    }
    let count = disagreements.len();
    format!("{clear} pairs differ clearly in instructions; in time, {count} of them stand the other way round.\n")
        + &disagreements.concat()
}

const CLEAR_INSTRUCTIONS: f64 = 1.2;
/// Times repeat within about 5 % on a quiet machine.
const CLEAR_TIME: f64 = 1.05;

/// What the design allows over bare, where the call has to be waited for.
fn budgets(cells: &[Cell]) -> String {
    let waited = || cells.iter().filter(|cell| cell.scenario == Scenario::Ok1);
    let mut text = String::new();
    for (contender, budget) in BUDGETS {
        for (cell, bare) in waited().filter(|cell| cell.contender == contender).zip(waited()) {
            let over = cell.instructions - bare.instructions;
            let verdict = if over > budget { "missed" } else { "kept" };
            text += &format!("- {contender}: {over:+.0} instr over bare in ok1, budget {budget:+}: {verdict}\n");
        }
    }
    text
}

/// What the design allows for a frame, in nanoseconds, and what it expects of the timeout that exists.
fn frame_budgets(cells: &[Cell]) -> String {
    let mut text = String::new();
    let added = |contender, scenario| {
        let mut rows = cells.chunks(Scenario::ALL.len());
        let row = rows.find(|row| row.iter().any(|cell| cell.contender == contender))?;
        Added::to_a_frame(row, cells, scenario)
    };
    let mut line = |contender, scenario: Scenario, added: Added, verdict| {
        let (name, Added { nanoseconds, with_call, .. }) = (scenario.name(), added);
        text += &format!(
            "- {contender}: {nanoseconds:+.1} ns a frame in {name} ({with_call:+.1} with the call), {verdict}\n"
        );
    };
    for (scenario, budget) in FRAME_BUDGETS {
        for contender in OURS {
            let Some(added) = added(contender, scenario) else { continue };
            let verdict = if added.nanoseconds > budget { "missed" } else { "kept" };
            line(contender, scenario, added, format!("budget {budget:+}: {verdict}"));
        }
    }
    for scenario in [Scenario::Frames0, Scenario::Frames1] {
        let Some(added) = added(TIMEOUT_BODY, scenario) else { continue };
        let verdict = if EXPECTED.contains(&added.nanoseconds) { "within" } else { "outside" };
        line(
            TIMEOUT_BODY,
            scenario,
            added,
            format!("expected {:+} to {:+}: {verdict}", EXPECTED.start(), EXPECTED.end()),
        );
    }
    text
}

const FRAME_BUDGETS: [(Scenario, f64); 3] =
    [(Scenario::Frames0, 5.0), (Scenario::Counted0, 5.0), (Scenario::Frames1, 30.0)];

const OURS: [&str; 4] =
    ["ours, new()", "ours, new() without limits", "ours, new() with a total limit", "ours, for_router()"];

const TIMEOUT_BODY: &str = "tower-http ResponseBodyTimeoutLayer";
const EXPECTED: RangeInclusive<f64> = 100.0..=560.0;

const BUDGETS: [(&str, f64); 4] = [
    ("ours, new()", 2100.0),
    ("ours, new() without limits", 850.0),
    ("ours, for_router() with a head limit", 1700.0),
    ("ours, for_router()", 500.0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_costs_what_the_frames_after_the_first_add() {
        let row = |contender, call, frame| {
            Scenario::ALL.map(|scenario| {
                let cost = call + frame * f64::from(scenario.frames() - 1);
                Cell { contender, scenario, instructions: 10.0 * cost, nanoseconds: cost }
            })
        };
        let cells = [row("bare", 100.0, 8.0), row("ours, new()", 420.0, 14.0)].concat();
        assert_eq!(
            frames(&cells),
            format!(
                "{FRAMES_HEAD}\
                 | bare | +0 | +0.0 | +0.0 | +0 | +0.0 | +0.0 | +0 | +0.0 | +0.0 |\n\
                 | ours, new() | +60 | +6.0 | +10.9 | +60 | +6.0 | +10.9 | +60 | +6.0 | +10.9 |\n"
            )
        );
        assert_eq!(
            frame_budgets(&cells),
            "- ours, new(): +6.0 ns a frame in frames0 (+10.9 with the call), budget +5: missed\n\
             - ours, new(): +6.0 ns a frame in counted0 (+10.9 with the call), budget +5: missed\n\
             - ours, new(): +6.0 ns a frame in frames1 (+10.9 with the call), budget +30: kept\n"
        );
    }

    #[test]
    fn who_needs_more_instructions_in_clearly_less_time_is_named() {
        let cell = |contender, instructions, nanoseconds| Cell {
            contender,
            scenario: Scenario::Ok1,
            instructions,
            nanoseconds,
        };
        let cells = [
            cell("bare", 100.0, 50.0),
            cell("slow", 110.0, 90.0),
            cell("odd", 130.0, 45.0),
            cell("noise", 130.0, 49.0),
        ];
        assert_eq!(
            agreement(&cells),
            "2 pairs differ clearly in instructions; in time, 1 of them stand the other way round.\n\
             - ok1: bare takes 100 instr and 50 ns, odd 130 instr and 45 ns\n"
        );
    }
}
