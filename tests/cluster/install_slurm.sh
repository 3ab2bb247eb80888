#!/usr/bin/env bash
# Installs what `make test-cluster` needs in addition to .venv: Slurm and munge, from Debian packages.
set -euo pipefail

if [[ -x /usr/sbin/slurmctld && -x /usr/sbin/slurmd && -x /usr/sbin/munged && -x /usr/bin/squeue ]]; then
    exit 0
fi
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "test-cluster: slurmctld, slurmd, slurm-client and munge are required; run this as root on Debian" >&2
    exit 1
fi
echo "test-cluster: installing slurmctld, slurmd, slurm-client and munge"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null
