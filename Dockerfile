# The harness in pinned software: what varies between two reports made in it is the hardware.
#
#   program    the harness; `make image` builds it for this machine, as TARGET=cuda or cpu
#   compiler   the same with g++ and Python's headers, for trainings that compile: TARGET=...-compiler
#
# PyTorch's wheels bring the CUDA libraries, so NVIDIA's smallest image is enough. The image sets
# nothing that the matrix varies: no CUBLAS_WORKSPACE_CONFIG, no PYTHONHASHSEED, no OMP_NUM_THREADS.

# cuda or cpu: the base, and the build of torch.
ARG VARIANT=cuda
ARG BASE_IMAGE=nvidia/cuda:13.0.3-base-ubuntu24.04@sha256:7c7413a56200486f71f181cad9310f6fd31b6bb21816ade15fc9c1e1e927a5c1
# The CPU wheel that is locked is for CPython 3.11.
ARG CPU_BASE_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
# An image with wheels in its root folder, for builds without an index: see PIP_CONF in the Makefile.
ARG WHEELS_IMAGE=scratch

FROM ${WHEELS_IMAGE} AS wheels

# ---- A Python and a user without a shell
FROM ${BASE_IMAGE} AS cuda-python
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* && useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin bench

FROM ${CPU_BASE_IMAGE} AS cpu-python
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin bench

# ---- Python packages, from the hash locks alone. pip's configuration and a CA bundle may come as
# build secrets; neither is left in a layer.
FROM ${VARIANT}-python AS packages
WORKDIR /bench
ARG VARIANT
COPY requirements requirements
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=ca_bundle,target=/run/ca.pem \
    --mount=type=bind,from=wheels,target=/wheels \
    if [ -s /run/ca.pem ]; then export PIP_CERT=/run/ca.pem; fi \
    && python3 requirements/install.py --torch "${VARIANT}" && .venv/bin/python -m pip check

# ---- The program
FROM ${VARIANT}-python AS program
WORKDIR /bench
ARG IDENTITY={}
ENV HOME=/tmp PATH=/bench/.venv/bin:$PATH
COPY --from=packages /bench/.venv .venv
COPY harness harness
COPY scenarios scenarios
COPY conf conf
RUN .venv/bin/python -m compileall -q --invalidation-mode unchecked-hash harness scenarios \
    && echo "${IDENTITY}" > image.json && mkdir results && chown bench results
USER 10001
ENTRYPOINT ["python", "-m", "harness"]

# ---- With a compiler
FROM program AS compiler
USER 0
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ python3-dev && rm -rf /var/lib/apt/lists/*
USER 10001

# ---- What `docker build .` without a target makes
FROM program
