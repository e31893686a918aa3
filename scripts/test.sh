#!/usr/bin/env bash
# Runs every test. Needs Rust; finds or installs PostgreSQL, and starts a throw-away server for the run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec scripts/with-postgres.sh cargo test --workspace --all-features "$@"
