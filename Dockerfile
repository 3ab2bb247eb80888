# The harness in pinned software: what varies between two reports made in it is the hardware.
#
#   cuda, cpu                     the harness; `make image` builds the one for this machine
#   cuda-compiler, cpu-compiler   the same with g++ and Python's headers, for trainings that compile
#
# PyTorch's wheels bring the CUDA libraries, so NVIDIA's smallest image is enough. The image sets
# nothing that the matrix varies: no CUBLAS_WORKSPACE_CONFIG, no PYTHONHASHSEED, no OMP_NUM_THREADS.

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
WORKDIR /bench

FROM ${CPU_BASE_IMAGE} AS cpu-python
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin bench
WORKDIR /bench

# ---- Python packages, from the hash locks alone. pip's configuration and a CA bundle may come as
# build secrets; neither is left in a layer.
FROM cuda-python AS cuda-packages
COPY requirements requirements
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=ca_bundle,target=/run/ca.pem \
    --mount=type=bind,from=wheels,target=/wheels \
    python3 requirements/install.py --torch cuda && .venv/bin/python -m pip check

FROM cpu-python AS cpu-packages
COPY requirements requirements
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=ca_bundle,target=/run/ca.pem \
    --mount=type=bind,from=wheels,target=/wheels \
    python3 requirements/install.py --torch cpu && .venv/bin/python -m pip check

# ---- What is the same in every image: the program
FROM scratch AS program
COPY harness /harness
COPY scenarios /scenarios
COPY conf /conf

FROM cuda-python AS cuda
ARG IDENTITY={}
ENV HOME=/tmp PATH=/bench/.venv/bin:$PATH
COPY --from=cuda-packages /bench/.venv .venv
COPY --from=program / .
RUN .venv/bin/python -m compileall -q --invalidation-mode unchecked-hash harness scenarios \
    && echo "${IDENTITY}" > image.json && mkdir results && chown bench results
USER 10001
ENTRYPOINT ["python", "-m", "harness"]

FROM cpu-python AS cpu
ARG IDENTITY={}
ENV HOME=/tmp PATH=/bench/.venv/bin:$PATH
COPY --from=cpu-packages /bench/.venv .venv
COPY --from=program / .
RUN .venv/bin/python -m compileall -q --invalidation-mode unchecked-hash harness scenarios \
    && echo "${IDENTITY}" > image.json && mkdir results && chown bench results
USER 10001
ENTRYPOINT ["python", "-m", "harness"]

# ---- With a compiler
FROM cuda AS cuda-compiler
USER 0
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ python3-dev && rm -rf /var/lib/apt/lists/*
USER 10001

FROM cpu AS cpu-compiler
USER 0
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ python3-dev && rm -rf /var/lib/apt/lists/*
USER 10001

# ---- What `docker build .` without a target makes
FROM cuda
