"""The data that lies beside this file, as NumPy arrays: any framework's scenarios may take it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DIGITS = Path(__file__).with_suffix(".npz")
DIGITS_HELD_OUT = 360  # a fifth, always the same: the last ones in the file

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def load_digits() -> tuple[Pair, Pair]:
    """The UCI handwritten digits, images (n, 8, 8) in 0..16 and labels (n,), as they are stored:
    those for training, then those held out.
    """
    with np.load(DIGITS) as stored:
        images, labels = stored["images"], stored["labels"]
    cut = len(images) - DIGITS_HELD_OUT
    return (images[:cut], labels[:cut]), (images[cut:], labels[cut:])
