"""Names for the arrays that pass between the steps."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "FloatArray", "Tensors"]

Array = NDArray[Any]
FloatArray = NDArray[np.floating[Any]]
Tensors = Mapping[str, Array]
"""The inputs or the outputs of one call, by the tensors' public names."""
