#!/usr/bin/env bash
# What `make test-image` needs beside .venv: Docker's engine, mmdebstrap and openssl, from Debian's packages.
set -euo pipefail

if [[ -x /usr/sbin/dockerd && -x /usr/bin/docker ]] && command -v mmdebstrap >/dev/null && command -v openssl >/dev/null; then
    exit 0
fi
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "test-image: needs docker.io, mmdebstrap and openssl; as root on Debian this script installs them" >&2
    exit 1
fi
echo "test-image: installing docker.io, mmdebstrap and openssl"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends docker.io mmdebstrap openssl >/dev/null
