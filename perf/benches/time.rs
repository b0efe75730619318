//! Nanoseconds per call, by criterion; run by `perf/run`.

use std::time::Duration;

use criterion::{BatchSize, Criterion};
use tower_bad_gateway_perf::{measured, pairs};

fn main() {
    let mut criterion = Criterion::default()
        // One round of many; the median is all that is read of it.
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
        .sample_size(20)
        .nresamples(1000)
        .configure_from_args();
    for (contender, scenario) in pairs() {
        criterion.benchmark_group(scenario.name()).bench_function(contender.name, |bencher| {
            contender.run(scenario, &mut |call| {
                // Requests are made ahead and not timed; a hundred of them stay in the cache.
                bencher.iter_batched(
                    || scenario.request(),
                    |request| measured(call, request),
                    BatchSize::NumIterations(100),
                );
            });
        });
    }
    criterion.final_summary();
}
