#!/usr/bin/env bash
# Everything that must hold besides the tests: format, lints, documentation, features, dependencies, file sizes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }

say "format"
cargo fmt --all --check

say "lints"
cargo clippy --workspace --all-targets --all-features -- -D warnings

say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps

say "each feature alone"
cargo check -p voice-saas-core
for feature in twilio livekit knowlarity elevenlabs stripe sqlite postgres emulator app_store smtp outbox; do
    cargo check -p voice-saas-providers --no-default-features --features "$feature"
done

say "core does no I/O"
if cargo tree -p voice-saas-core --edges normal --prefix none | grep -E '^(reqwest|sqlx|axum|hyper|tokio-tungstenite) '; then
    echo "voice-saas-core must not depend on these" >&2
    exit 1
fi

say "no file above 600 lines"
long=$(git ls-files '*.rs' | xargs wc -l | awk '$2 != "total" && $1 > 600 { print $1, $2 }')
if [ -n "$long" ]; then
    echo "$long" >&2
    exit 1
fi

if cargo deny --version >/dev/null 2>&1; then
    say "dependencies"
    cargo deny --offline check bans licenses sources
else
    say "dependencies: cargo-deny is not installed, skipped"
fi
