"""The vectors in memory, beside the ids of what they stand for: near ones are found here.

Derived and never the truth: SQLite holds every vector as a float16 blob, and a segment is read again
from there at every start, in a worker thread, while words answer.

- `rows`: what goes in and comes out: `Row`, `Columns` of them, `Neighbour`
- `segment`: one space of vectors that may be compared, searched while it changes, watching its own recall
- `segments`: all of them: vectors of different models or dimensions never meet
"""

from mimo.vector.rows import Columns, Neighbour, Row, from_blob, from_blobs, kernels, to_blob
from mimo.vector.segment import Fetch, Segment, Visit
from mimo.vector.segments import Segments, Space

__all__ = [
    "Columns",
    "Fetch",
    "Neighbour",
    "Row",
    "Segment",
    "Segments",
    "Space",
    "Visit",
    "from_blob",
    "from_blobs",
    "kernels",
    "to_blob",
]
