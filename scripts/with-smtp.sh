#!/usr/bin/env bash
# Runs a command with a real SMTP server at hand:
#
#   scripts/with-smtp.sh cargo nextest run
#
# The server is aiosmtpd. It is taken from the Python on the path, or installed from PyPI into a folder that is gone when
# the command ends. VOICE_SAAS_TEST_AIOSMTPD names the Python that has it; tests start servers with that themselves.
set -euo pipefail

AIOSMTPD="aiosmtpd==1.4.6"

if [ "$#" -eq 0 ]; then
    echo "usage: $0 command [argument...]" >&2
    exit 2
fi

has_aiosmtpd() {
    "$1" -c 'import aiosmtpd' >/dev/null 2>&1
}

# With python3-venv: without ensurepip a virtual environment has no pip.
can_make_venv() {
    command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' >/dev/null 2>&1
}

if command -v python3 >/dev/null && has_aiosmtpd python3; then
    VOICE_SAAS_TEST_AIOSMTPD=$(command -v python3)
    export VOICE_SAAS_TEST_AIOSMTPD
    exec "$@"
fi

if ! can_make_venv && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing Python" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3 python3-venv >&2
fi
if ! can_make_venv; then
    echo "A Python with aiosmtpd is needed, or one that can install it:" >&2
    echo "  Debian, Ubuntu:  sudo apt-get install python3-aiosmtpd" >&2
    echo "  elsewhere:       python3 -m pip install $AIOSMTPD" >&2
    exit 1
fi

home=$(mktemp -d "${TMPDIR:-/tmp}/voice-saas-smtp.XXXXXX")

clean_up() {
    local status=$?
    trap - EXIT INT TERM
    rm -rf "$home"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! { python3 -m venv "$home/venv" && "$home/venv/bin/python" -m pip install --quiet \
    --disable-pip-version-check "$AIOSMTPD"; } >"$home/install.log" 2>&1; then
    cat "$home/install.log" >&2
    echo "$AIOSMTPD could not be installed from PyPI. Without the network: sudo apt-get install python3-aiosmtpd" >&2
    exit 1
fi

export VOICE_SAAS_TEST_AIOSMTPD="$home/venv/bin/python"
"$@"
