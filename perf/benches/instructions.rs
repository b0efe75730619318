//! Instructions per call, by callgrind; run by `perf/run`.

#![allow(missing_docs, reason = "what gungraun's macros make is public and has no documentation")]

use gungraun::{Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use tower_bad_gateway_perf::{measured, pairs};

// Every pair is a benchmark, named by its position. What is counted is not this function but `measured`: the runtime, the
// requests and the calls before the counted ones stay out.
#[library_benchmark]
#[benches::pair(iter = 0..pairs().count())]
fn call(position: usize) {
    let Some((contender, scenario)) = pairs().nth(position) else { return };
    contender.run(scenario, &mut |call| {
        for _ in 0..WARM_UP {
            call(scenario.request());
        }
        for _ in 0..scenario.counted_calls() {
            measured(call, scenario.request());
        }
    });
}

const WARM_UP: u32 = 300;

library_benchmark_group!(name = calls, benchmarks = [call]);

main!(
    config = LibraryBenchmarkConfig::default().tool(
        Callgrind::with_args(["--cache-sim=no"])
            .entry_point(EntryPoint::Custom("tower_bad_gateway_perf::drive::measured*".into()))
    ),
    library_benchmark_groups = [calls]
);
