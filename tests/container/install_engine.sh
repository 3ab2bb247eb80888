#!/usr/bin/env bash
# Installs what `make test-image` needs in addition to .venv: Docker Engine, mmdebstrap and openssl, from Debian packages.
set -euo pipefail

if [[ -x /usr/sbin/dockerd && -x /usr/bin/docker ]] && command -v mmdebstrap >/dev/null && command -v openssl >/dev/null; then
    exit 0
fi
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "test-image: docker.io, mmdebstrap and openssl are required; run this as root on Debian to install them" >&2
    exit 1
fi
echo "test-image: installing docker.io, mmdebstrap and openssl"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends docker.io mmdebstrap openssl >/dev/null
