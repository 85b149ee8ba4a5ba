"""What the compiled encoder offers."""

import numpy as np
import numpy.typing as npt

from mimo_core._weights import Weights

class Forward:
    def __init__(self, weights: Weights) -> None: ...
    def run(
        self, pieces: npt.NDArray[np.int32], starts: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float32]: ...
