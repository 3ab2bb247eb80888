#!/usr/bin/env bash
# Installs the browser that `make test-browser` drives: Debian's Chromium.
set -euo pipefail

if command -v chromium >/dev/null; then
    exit 0
fi
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "test-browser: chromium is required; run this as root on Debian to install it" >&2
    exit 1
fi
echo "test-browser: installing chromium"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null
