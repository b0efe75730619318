#!/usr/bin/env bash
# Finding: tokio-stream 0.1.18 asks for tokio 1.15.0 or newer, and cannot be
# built with anything older than 1.38.0.
#
# What is surprising
#   The manifest of tokio-stream says that tokio 1.15.0 is enough, and cargo
#   resolves to 1.37.0 without a complaint where another crate holds tokio
#   there. Then rustc ends in E0599 inside of tokio-stream: its wrapper of
#   mpsc::Receiver calls capacity() and max_capacity(), which the receiver of
#   tokio has had since 1.38.0 only. The wrapper is not behind a feature.
#
# Why one would expect otherwise
#   The requirement in a manifest is what the resolver goes by. Both crates
#   come from one repository, and tokio's own releases between 1.15 and 1.37
#   include long-term ones (1.36 among them) that people stay on.
#
# What it means for whoever writes a gateway
#   tonic brings in tokio-stream, so a gateway that is held at an older tokio
#   fails to build in a crate that it did not name. A library cannot leave its
#   own lower bound of tokio to its dependencies: it has to build with the
#   versions it names (cargo's -Z direct-minimal-versions does it), and to name
#   the newer one itself where a dependency of a feature needs it.
#
# Versions: tokio-stream 0.1.18, tokio 1.37.0 and 1.38.0. Date: 2026-11-29.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src
touch src/lib.rs

manifest() {
    cat >Cargo.toml <<TOML
[package]
name = "tokio-stream-needs-a-newer-tokio-than-it-asks-for"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
tokio = "=$1"
tokio-stream = { version = "=0.1.18", default-features = false }
TOML
    rm -f Cargo.lock
}

echo "Versions:"
rustc --version
manifest 1.38.0
cargo metadata --quiet --format-version 1 >metadata
python3 - <<'PYTHON' | tee seen
import json

packages = {package["name"]: package for package in json.load(open("metadata"))["packages"]}
asked = next(kind for kind in packages["tokio-stream"]["dependencies"] if kind["name"] == "tokio" and not kind["kind"])
print(f"tokio-stream {packages['tokio-stream']['version']} asks for tokio {asked['req']}")
PYTHON
for version in 1.37.0 1.38.0; do
    manifest "$version"
    if cargo check --quiet 2>error; then
        echo "with tokio $version: it builds"
    else
        echo "with tokio $version: no method $(grep -o 'named `[a-z_]*` found for struct `[a-zA-Z:_<>]*`' error | sed "s/named //; s/ found for struct/ of/" | sort -u | paste -sd , | sed "s/,/, /")"
    fi
done | tee -a seen

cat >expected <<'TEXT'
tokio-stream 0.1.18 asks for tokio ^1.15.0
with tokio 1.37.0: no method `capacity` of `tokio::sync::mpsc::Receiver<T>`, `max_capacity` of `tokio::sync::mpsc::Receiver<T>`
with tokio 1.38.0: it builds
TEXT

if ! diff -u expected seen; then
    echo "The behaviour has changed: expected is -, seen is +." >&2
    exit 1
fi
echo "The behaviour is the one described above."
