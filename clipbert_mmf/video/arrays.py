"""Names the arrays that travel between samplers and decoders."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: ``(H, W, 3)`` RGB.
Picture = npt.NDArray[np.uint8]
#: Seconds from the first frame, any shape.
Times = npt.NDArray[np.float64]
#: Indices of frames, or ticks, any shape.
Indices = npt.NDArray[np.int64]
