//! Nothing to use: the layer among axum, tonic, reqwest and tower-http, as tests and examples.

/// The program of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
