//! What must hold for any values and any order of operations.

mod capture;
mod pure;
mod secrets;
mod sequences;
mod thing;
mod vault;

use proptest::{
    strategy::Strategy,
    test_runner::{Config, TestCaseResult, TestRunner},
};

/// Runs so many cases, or as many as `PROPTEST_CASES` says, one after the other.
fn check<S: Strategy>(cases: u32, strategy: &S, case: impl AsyncFn(S::Value) -> TestCaseResult) {
    let mut config = Config { failure_persistence: None, max_shrink_time: 60_000, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let runtime = tokio::runtime::Handle::current();
    // `proptest` calls plain functions: this thread waits for each case.
    let result = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(strategy, |value| runtime.block_on(case(value)))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
