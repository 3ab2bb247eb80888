"""The data set next to this file, as NumPy arrays that scenarios of any framework can use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DIGITS = Path(__file__).with_suffix(".npz")
DIGITS_HELD_OUT = 360  # a fifth: always the last ones in the file

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def load_digits() -> tuple[Pair, Pair]:
    """Return the UCI handwritten digits in stored order: the training set, then the held-out set.

    Each is a pair of images, uint8 (n, 8, 8) in 0..16, and labels, uint8 (n,).
    """
    with np.load(DIGITS) as stored:
        images, labels = stored["images"], stored["labels"]
    cut = len(images) - DIGITS_HELD_OUT
    return (images[:cut], labels[:cut]), (images[cut:], labels[cut:])
