# The harness with pinned software, so that two reports made in it differ only in hardware.
#
#   program    the harness; `make image` builds it for this machine (TARGET=cuda or cpu)
#   compiler   the same with g++ and Python headers, for trainings that compile (TARGET=...-compiler)
#
# PyTorch's wheels include the CUDA libraries, so NVIDIA's smallest image is sufficient. The image
# sets nothing that the matrix varies: CUBLAS_WORKSPACE_CONFIG, PYTHONHASHSEED, OMP_NUM_THREADS.

# cuda or cpu: selects the base image and the torch build.
ARG VARIANT=cuda
ARG BASE_IMAGE=nvidia/cuda:13.0.3-base-ubuntu24.04@sha256:7c7413a56200486f71f181cad9310f6fd31b6bb21816ade15fc9c1e1e927a5c1
# The locked CPU wheel of torch requires CPython 3.11.
ARG CPU_BASE_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
# An image with wheels in its root folder, for builds without a package index (with PIP_CONF).
ARG WHEELS_IMAGE=scratch

FROM ${WHEELS_IMAGE} AS wheels

# ---- Python, and a user without a login shell
FROM ${BASE_IMAGE} AS cuda-python
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* && useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin bench

FROM ${CPU_BASE_IMAGE} AS cpu-python
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin bench

# ---- Python packages, installed only from the hash locks. A pip configuration and a CA bundle can be
# passed as build secrets; neither ends up in a layer.
FROM ${VARIANT}-python AS packages
WORKDIR /bench
ARG VARIANT
COPY requirements requirements
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=ca_bundle,target=/run/ca.pem \
    --mount=type=bind,from=wheels,target=/wheels \
    if [ -s /run/ca.pem ]; then export PIP_CERT=/run/ca.pem; fi \
    && python3 requirements/install.py --torch "${VARIANT}" && .venv/bin/python -m pip check

# ---- The harness
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

# ---- The harness with a compiler
FROM program AS compiler
USER 0
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ python3-dev && rm -rf /var/lib/apt/lists/*
USER 10001

# ---- The default target of `docker build .`
FROM program
