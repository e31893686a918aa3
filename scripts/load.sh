#!/usr/bin/env bash
# Measures the service under load: the server on one core, the load (and the database, if it is a server) on another.
#
#   scripts/load.sh                    everything, about a quarter of an hour
#   scripts/load.sh webhook-sqlite     or webhook-postgres, or bridge
#
# LOAD_SECONDS   how long each run is counted (15)
# LOAD_NUMBERS   the numbers in service, in ascending order ("10000 100000")
# LOAD_RATES     webhooks per second, before as many as are answered ("200 500")
# LOAD_CALLS     calls at once ("50 350")
#
# Reports are printed, and kept as lines of JSON in target/load/reports.jsonl. Fails when an answer was wrong or a frame
# was lost, and never because something was slow.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${LOAD_SECONDS:-15}
numbers=${LOAD_NUMBERS:-10000 100000}
rates=${LOAD_RATES:-200 500}
calls=${LOAD_CALLS:-50 350}
platform=127.0.0.1:${LOAD_PLATFORM_PORT:-17070}
load=target/release/load
out=target/load
server_core=
load_core=
if command -v taskset >/dev/null && taskset -c 0,1 true 2>/dev/null; then
    server_core="taskset -c 0"
    load_core="taskset -c 1"
else
    echo "There is no taskset, or but one core: server and load share what there is, and the figures say little." >&2
fi

server=
failed=0

stop_server() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
    fi
}
trap stop_server EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Starts a server and waits until it says where it listens.
start_server() {
    # shellcheck disable=SC2086 # the core is a command and its arguments
    $server_core "$load" "$@" --max-seconds 1800 >"$out/server.log" 2>"$out/server.err" &
    server=$!
    for _ in $(seq 600); do
        if address=$(awk '/^ready / { print $2; found = 1 } END { exit !found }' "$out/server.log"); then
            return
        fi
        if ! kill -0 "$server" 2>/dev/null; then
            break
        fi
        sleep 0.5
    done
    cat "$out/server.err" >&2
    echo "the server did not start: $*" >&2
    exit 1
}

# Runs the load and keeps its report.
drive() {
    echo
    echo "== $*"
    # shellcheck disable=SC2086
    if ! $load_core "$load" "$@" >"$out/last"; then
        echo "WRONG ANSWERS OR LOST FRAMES" >&2
        failed=1
    fi
    cat "$out/last"
    grep '^{' "$out/last" >>"$out/reports.jsonl" || true
}

# webhooks NAME DATABASE
webhooks() {
    local count rate
    for count in $numbers; do
        start_server serve-webhook --database "$2" --numbers "$count"
        # What autovacuum does for a database that was not filled a moment ago.
        if [ "$1" = postgres ] && command -v psql >/dev/null; then
            psql --quiet --command "VACUUM ANALYZE" "$2"
        fi
        for rate in $rates max; do
            drive drive-webhook --server "$address" --server-pid "$server" --name "$1" --numbers "$count" \
                --rate "$rate" --seconds "$seconds"
        done
        # So few numbers that the routes of all are remembered.
        drive drive-webhook --server "$address" --server-pid "$server" --name "$1-remembered" --numbers 1000 \
            --rate max --seconds "$seconds"
        stop_server
    done
}

webhook_sqlite() {
    rm -f "$out"/webhook.db*
    webhooks sqlite "sqlite:$out/webhook.db"
    rm -f "$out"/webhook.db*
}

webhook_postgres() {
    if [ -n "${LOAD_INSIDE_POSTGRES:-}" ]; then
        webhooks postgres "$VOICE_SAAS_TEST_POSTGRES"
    else
        # shellcheck disable=SC2086
        LOAD_INSIDE_POSTGRES=yes $load_core scripts/with-postgres.sh "$0" webhook-postgres || failed=1
    fi
}

bridge() {
    local count
    for count in $calls; do
        drive drive-bridge --through direct --platform "$platform" --calls "$count" --seconds "$seconds"
        cp "$out/last" "$out/direct"

        start_server serve-relay --platform "$platform"
        drive drive-bridge --through relay --platform "$platform" --calls "$count" --seconds "$seconds" \
            --server "$address" --server-pid "$server" --baseline "$out/direct"
        stop_server

        rm -f "$out"/bridge.db*
        start_server serve-bridge --platform "$platform" --database "sqlite:$out/bridge.db" --numbers 1000
        drive drive-bridge --through bridge --platform "$platform" --calls "$count" --seconds "$seconds" \
            --server "$address" --server-pid "$server" --baseline "$out/direct"
        # The same server again: what is left of the first calls is in its memory, and nothing may be added to it.
        drive drive-bridge --through bridge --platform "$platform" --calls "$count" --seconds "$seconds" \
            --server "$address" --server-pid "$server" --baseline "$out/direct" --turn-seconds 5
        stop_server
        rm -f "$out"/bridge.db*
    done
}

mkdir -p "$out"
if [ -z "${LOAD_INSIDE_POSTGRES:-}" ]; then
    : >"$out/reports.jsonl"
    cargo build --release --package voice-saas-tests --bin load
fi
case "${1:-all}" in
    webhook-sqlite) webhook_sqlite ;;
    webhook-postgres) webhook_postgres ;;
    bridge) bridge ;;
    all)
        webhook_sqlite
        webhook_postgres
        bridge
        ;;
    *)
        echo "usage: $0 [webhook-sqlite | webhook-postgres | bridge]" >&2
        exit 2
        ;;
esac
exit "$failed"
