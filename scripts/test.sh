#!/usr/bin/env bash
# Runs every test. Needs Rust; finds or installs PostgreSQL and an SMTP server, and starts throw-away ones for the run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec scripts/with-postgres.sh scripts/with-smtp.sh cargo test --workspace --all-features "$@"
