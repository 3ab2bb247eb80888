"""Gives a script one of several GPUs: it chooses its device itself, among those that it sees."""

from __future__ import annotations

import os

import torch

VISIBLE = "CUDA_VISIBLE_DEVICES"


def show_only(device: str) -> torch.device:
    """Hide all GPUs but ``device``, such as ``cuda:1``; return the device that it is from now on.

    To be called before CUDA is initialized, which reads the variable once.
    """
    kind, _, index = device.partition(":")
    if not index:
        return torch.device(device)
    visible = os.environ.get(VISIBLE)
    names = visible.split(",") if visible else None
    if names is None:
        os.environ[VISIBLE] = index
    elif int(index) < len(names):  # else a worker that this one replaces has done it
        os.environ[VISIBLE] = names[int(index)].strip()
    return torch.device(kind)
