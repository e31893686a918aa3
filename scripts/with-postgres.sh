#!/usr/bin/env bash
# Runs a command with a throw-away PostgreSQL server at hand:
#
#   scripts/with-postgres.sh cargo nextest run
#
# The server listens on a free port of 127.0.0.1, keeps nothing safe on disk (it is fast instead) and is gone when
# the command ends. VOICE_SAAS_TEST_POSTGRES names it to the command.
set -euo pipefail

if [ "$#" -eq 0 ]; then
    echo "usage: $0 command [argument...]" >&2
    exit 2
fi

# The newest server that this machine has: on the path, or where Debian and Homebrew put it.
find_bin() {
    local initdb
    if initdb=$(command -v initdb); then
        dirname "$initdb"
        return
    fi
    for initdb in $(printf '%s\n' /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb \
        /opt/homebrew/opt/postgresql*/bin/initdb /usr/local/opt/postgresql*/bin/initdb | sort -rV); do
        if [ -x "$initdb" ]; then
            dirname "$initdb"
            return
        fi
    done
    return 1
}

if ! bin=$(find_bin); then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "installing PostgreSQL" >&2
        apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql >&2
    fi
    if ! bin=$(find_bin); then
        echo "PostgreSQL is not installed. Install its server, version 15 or later:" >&2
        echo "  Debian, Ubuntu:  sudo apt-get install postgresql" >&2
        echo "  Fedora:          sudo dnf install postgresql-server" >&2
        echo "  macOS:           brew install postgresql@17" >&2
        exit 1
    fi
fi

# The server refuses to run as root, and its user may not be able to enter the present folder.
as_server() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd "$home" && runuser -u "$server_user" -- "$@")
    else
        "$@"
    fi
}

home=$(mktemp -d "${TMPDIR:-/tmp}/voice-saas-postgres.XXXXXX")
started=

clean_up() {
    local status=$?
    trap - EXIT INT TERM
    if [ -n "$started" ]; then
        as_server "$bin/pg_ctl" stop --pgdata "$home/data" --mode immediate --silent || true
    fi
    rm -rf "$home"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ "$(id -u)" -eq 0 ]; then
    server_user=nobody
    if id postgres >/dev/null 2>&1; then
        server_user=postgres
    fi
    chown "$server_user" "$home"
fi

as_server "$bin/initdb" --pgdata "$home/data" --username postgres --auth trust --encoding UTF8 --no-locale \
    --no-sync >"$home/initdb.log" 2>&1 || {
    cat "$home/initdb.log" >&2
    exit 1
}

# Somebody else may take a port between its choice and the start: another one is tried then.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    port=$((20000 + RANDOM % 20000))
    options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=400"
    options="$options -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=128MB"
    if as_server "$bin/pg_ctl" start --pgdata "$home/data" --options "$options" --log "$home/data/server.log" \
        --wait --silent; then
        started=yes
        break
    fi
done
if [ -z "$started" ]; then
    cat "$home/data/server.log" >&2
    exit 1
fi

export VOICE_SAAS_TEST_POSTGRES="postgres://postgres@127.0.0.1:$port/postgres"
"$@"
