//! Puts the results of both benchmarks into one Markdown table, and says where the two disagree; run by `perf/run`.
//!
//! `report INSTRUCTIONS TIMES`: the JSON lines of gungraun, and the folder of criterion.

use std::{collections::HashMap, env, error::Error, fs, path::Path};

use serde_json::Value;
use tower_bad_gateway_perf::{COUNTED_CALLS, Scenario, pairs};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(instructions), Some(times), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: report INSTRUCTIONS TIMES".into());
    };
    let instructions = read_instructions(&fs::read_to_string(instructions)?)?;
    let cells = pairs()
        .enumerate()
        .map(|(position, (contender, scenario))| {
            Ok(Cell {
                contender: contender.name,
                scenario,
                instructions: *instructions.get(&position).ok_or(format!("{contender:?} was not counted"))?,
                nanoseconds: read_time(Path::new(&times), contender.name, scenario)?,
            })
        })
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    print!("{}\n{}\n{}", table(&cells), agreement(&cells), budgets(&cells));
    Ok(())
}

/// What was measured of one contender in one scenario, per call.
struct Cell {
    contender: &'static str,
    scenario: Scenario,
    instructions: f64,
    nanoseconds: f64,
}

/// Instructions per call, by the position of the pair.
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
            Ok((position.parse()?, count / f64::from(COUNTED_CALLS)))
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

fn table(cells: &[Cell]) -> String {
    let mut text = String::from(HEAD);
    for row in cells.chunks(Scenario::ALL.len()) {
        text.extend(row.iter().take(1).map(|cell| format!("| {} |", cell.contender)));
        for (cell, bare) in row.iter().zip(cells) {
            text += &format!(" {:.0} | {:+.0} |", cell.instructions, cell.instructions - bare.instructions);
        }
        for (cell, bare) in row.iter().zip(cells).filter(|(cell, _)| cell.scenario != Scenario::Ok0) {
            text += &format!(" {:.0} | {:.2} |", cell.nanoseconds, cell.nanoseconds / bare.nanoseconds);
        }
        text.push('\n');
    }
    text
}

const HEAD: &str = "\
| contender | ok0 instr | over bare | ok1 instr | over bare | err1 instr | over bare | ok1 ns | to bare | err1 ns | to bare |
| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |
";

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
