#!/usr/bin/env bash
# What `make test-image` needs beside .venv: Docker's engine and mmdebstrap, from Debian's packages.
set -euo pipefail

if [[ -x /usr/sbin/dockerd && -x /usr/bin/docker ]] && command -v mmdebstrap >/dev/null; then
    exit 0
fi
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "test-image: needs docker.io and mmdebstrap; as root on Debian this script installs them" >&2
    exit 1
fi
echo "test-image: installing docker.io and mmdebstrap"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends docker.io mmdebstrap >/dev/null
