"""Files of directions in the residual stream, as other tools read and write them."""

from emotion_circuits.direction_files.directions import Directions
from emotion_circuits.direction_files.formats import (
    FORMATS,
    read_directions,
    write_directions,
)

__all__ = ["FORMATS", "Directions", "read_directions", "write_directions"]
