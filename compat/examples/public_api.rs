//! Prints the public items of a crate, a line each, out of what `rustdoc --output-format json` has made of it. Called by `scripts/public-api`.
//! Ends with 3 where that is in a form that is not known yet.

use std::{env, error::Error, io::Write, process::ExitCode};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let json = env::args_os().nth(1).ok_or("usage: public_api FILE.json")?;
    // Which types are `Send` and `Unpin` is held by tests: nightly compilers have auto traits of their own.
    let api =
        match public_api::Builder::from_rustdoc_json(json).omit_blanket_impls(true).omit_auto_trait_impls(true).build()
        {
            Ok(api) => api,
            Err(public_api::Error::SerdeJsonError(error)) => {
                eprintln!("{error}");
                return Ok(ExitCode::from(3));
            }
            Err(error) => return Err(error.into()),
        };
    let mut out = std::io::stdout().lock();
    for item in api.items() {
        writeln!(out, "{item}")?;
    }
    Ok(ExitCode::SUCCESS)
}
