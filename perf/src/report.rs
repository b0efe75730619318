//! Puts the results of both benchmarks into Markdown tables, one of calls and one of the frames of a body, and says where the two
//! disagree; run by `perf/run`.
//!
//! `report INSTRUCTIONS TIMES [NAME=INSTRUCTIONS]...`: the JSON lines of gungraun, and the folder of criterion; the lines of other
//! builds.

use std::{collections::HashMap, env, error::Error, fs, path::Path};

use serde_json::Value;
use tower_bad_gateway_perf::{Scenario, pairs};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(instructions), Some(times)) = (arguments.next(), arguments.next()) else {
        return Err("usage: report INSTRUCTIONS TIMES [NAME=INSTRUCTIONS]...".into());
    };
    let instructions = read_instructions(&fs::read_to_string(instructions)?)?;
    let other_builds = arguments
        .map(|argument| {
            let (name, file) = argument.split_once('=').ok_or("NAME=INSTRUCTIONS is needed")?;
            Ok((name.to_owned(), read_instructions(&fs::read_to_string(file)?)?))
        })
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
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
    for (name, instructions) in other_builds {
        println!("{}", other_build(&name, &instructions));
    }
    print!("{}\n{}", agreement(&cells), budgets(&cells));
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

/// The calls as another build has them, in instructions alone.
fn other_build(name: &str, instructions: &HashMap<usize, f64>) -> String {
    let mut text = format!(
        "Instructions in the build \"{name}\".\n\n| contender | ok1 | ok2 | ext1 | err1 | err2 |\n| --- | --: | --: | --: | --: | --: |\n"
    );
    let pairs: Vec<_> = pairs().collect();
    let count = |position: usize, scenario: Scenario| {
        instructions.get(&position).map(|count| count / f64::from(scenario.counted_calls()))
    };
    for (row, of_row) in pairs.chunks(Scenario::ALL.len()).enumerate() {
        text.extend(of_row.iter().take(1).map(|(contender, _)| format!("| {} |", contender.name)));
        for (column, (_, scenario)) in of_row
            .iter()
            .enumerate()
            .filter(|(_, (_, scenario))| Scenario::CALLS.contains(scenario) && *scenario != Scenario::Ok0)
        {
            let (cell, bare) = (count(row * of_row.len() + column, *scenario), count(column, *scenario));
            let value = if scenario.fails() { cell } else { cell.zip(bare).map(|(cell, bare)| cell - bare) };
            text += &value.map_or(" |".to_owned(), |value| format!(" {value:.0} |"));
        }
        text.push('\n');
    }
    text
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

/// What a contender adds to a call that is answered, and the whole of one that fails: `bare` answers nothing then.
fn calls(cells: &[Cell]) -> String {
    let mut text = String::from(CALLS_HEAD);
    for row in cells.chunks(Scenario::ALL.len()) {
        let of = |scenario| row.iter().zip(cells).find(|(cell, _)| cell.scenario == scenario);
        text.extend(row.iter().take(1).map(|cell| format!("| {} |", cell.contender)));
        for (cell, bare) in ANSWERED.into_iter().filter_map(of) {
            text += &format!(" {:+.0} |", cell.instructions - bare.instructions);
        }
        for (cell, _) in FAILED.into_iter().filter_map(of) {
            text += &format!(" {:.0} |", cell.instructions);
        }
        for (cell, bare) in ANSWERED.into_iter().skip(1).filter_map(of) {
            text += &format!(" {:+.0} |", cell.nanoseconds - bare.nanoseconds);
        }
        for (cell, _) in FAILED.into_iter().filter_map(of) {
            text += &format!(" {:.0} |", cell.nanoseconds);
        }
        text.push('\n');
    }
    text
}

const ANSWERED: [Scenario; 4] = [Scenario::Ok0, Scenario::Ok1, Scenario::Ok2, Scenario::Ext1];
const FAILED: [Scenario; 2] = [Scenario::Err1, Scenario::Err2];

const CALLS_HEAD: &str = "\
Instructions and nanoseconds: over bare where the upstream answers, of the whole call where it fails.

| contender | ok0 | ok1 | ok2 | ext1 | err1 | err2 | ok1 ns | ok2 ns | ext1 ns | err1 ns | err2 ns |
| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |
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

/// What the design allows.
fn budgets(cells: &[Cell]) -> String {
    let find = |contender, scenario| cells.iter().find(|cell| (cell.contender, cell.scenario) == (contender, scenario));
    let over =
        |contender, scenario, of: fn(&Cell) -> f64| Some(of(find(contender, scenario)?) - of(find("bare", scenario)?));
    let instructions: fn(&Cell) -> f64 = |cell| cell.instructions;
    let nanoseconds: fn(&Cell) -> f64 = |cell| cell.nanoseconds;
    let mut text = String::new();
    let mut line = |what: String, value: Option<f64>, budget: f64, unit| {
        let Some(value) = value else { return };
        let verdict = if value > budget { "missed" } else { "kept" };
        text += &format!("- {what}: {value:.2} {unit}, budget {budget:.2}: {verdict}\n");
    };
    for (contender, scenario, budget) in CALL_BUDGETS {
        let value = over(contender, scenario, instructions);
        line(format!("{contender}, {}", scenario.name()), value, budget, "instr over bare");
    }
    for contender in ["ours, new()", "ours, for_router()"] {
        let difference =
            || Some(over(contender, Scenario::Ext1, instructions)? - over(contender, Scenario::Ok1, instructions)?);
        line(format!("{contender}, extensions"), difference(), EXTENSIONS, "instr more");
    }
    for scenario in FAILED {
        let to_recipe = |of: fn(&Cell) -> f64| Some(of(find("ours, new()", scenario)?) / of(find(RECIPE, scenario)?));
        line(format!("ours, new(), {}", scenario.name()), to_recipe(instructions), 1.0, "of the recipe's instr");
        line(format!("ours, new(), {}", scenario.name()), to_recipe(nanoseconds), 1.15, "of the recipe's ns");
    }
    let mut rows = cells.chunks(Scenario::ALL.len());
    if let Some(row) = rows.find(|row| row.iter().any(|cell| cell.contender == "ours, new()")) {
        for (scenario, instructions, nanoseconds) in FRAME_BUDGETS {
            let added = || Added::to_a_frame(row, cells, scenario);
            line(
                format!("a frame, {}", scenario.name()),
                added().map(|added| added.instructions),
                instructions,
                "instr",
            );
            line(format!("a frame, {}", scenario.name()), added().map(|added| added.nanoseconds), nanoseconds, "ns");
        }
    }
    text
}

const RECIPE: &str = "tower Timeout + axum HandleError";
const EXTENSIONS: f64 = 300.0;

const CALL_BUDGETS: [(&str, Scenario, f64); 5] = [
    ("ours, new()", Scenario::Ok1, 1900.0),
    ("ours, new() without limits", Scenario::Ok1, 1620.0),
    ("ours, for_router() with a head limit", Scenario::Ok1, 1580.0),
    ("ours, for_router()", Scenario::Ok1, 1290.0),
    ("ours, new()", Scenario::Ok2, 2550.0),
];

/// Instructions, nanoseconds.
const FRAME_BUDGETS: [(Scenario, f64, f64); 3] =
    [(Scenario::Frames0, 60.0, 6.0), (Scenario::Counted0, 70.0, 6.0), (Scenario::Frames1, 300.0, 60.0)];

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
        assert!(
            budgets(&cells).contains("- a frame, frames0: 60.00 instr, budget 60.00: kept\n"),
            "{}",
            budgets(&cells)
        );
    }

    #[test]
    fn a_call_is_compared_with_the_bare_one_and_a_failure_with_the_recipe() {
        let row = |contender, cost| {
            Scenario::ALL.map(|scenario| Cell { contender, scenario, instructions: cost, nanoseconds: cost })
        };
        let cells = [row("bare", 1000.0), row(RECIPE, 2000.0), row("ours, new()", 2950.0)].concat();
        let expected = [
            "- ours, new(), ok1: 1950.00 instr over bare, budget 1900.00: missed\n",
            "- ours, new(), ok2: 1950.00 instr over bare, budget 2550.00: kept\n",
            "- ours, new(), extensions: 0.00 instr more, budget 300.00: kept\n",
            "- ours, new(), err2: 1.48 of the recipe's ns, budget 1.15: missed\n",
        ];
        let budgets = budgets(&cells);
        let missing: Vec<_> = expected.iter().filter(|line| !budgets.contains(**line)).collect();
        assert!(missing.is_empty(), "{missing:?} in {budgets}");
        assert!(calls(&cells).ends_with(
            "| ours, new() | +1950 | +1950 | +1950 | +1950 | 2950 | 2950 | +1950 | +1950 | +1950 | 2950 | 2950 |\n"
        ));
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
