"""Values that do not change once they are made: the type checker sees to it, and Python is not asked to.

A frozen dataclass sets each of its fields through a guard, which makes it five times slower to make. Of most values one
does not notice; of those that a turn of a procedure or a call makes by the dozen, one does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(made: type[T]) -> type[T]:
    """As `dataclass(frozen=True, slots=True)`, for values that are made often."""
    return dataclass(slots=True, unsafe_hash=True)(made)
