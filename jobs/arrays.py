"""Array types, named by their elements. numpy, no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
"""Pixels as files hold them, 0…255."""
Floats = NDArray[np.float64]
"""What is computed with on the CPU."""
Floats32 = NDArray[np.float32]
"""What networks take and give."""
Labels = NDArray[np.int64]
"""The class of each image, from 0."""
