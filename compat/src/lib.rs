//! Nothing to use: the layer among axum, tonic, reqwest and tower-http, as tests and examples.
