"""What a layer's weights are made of: matrices, which cost FLOP and are cut by tensor parallelism, and vectors.

A mixer and a feed-forward each declare their matrices once. Parameter counts sum them and estimates time them, so a
count and the work it stands for cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field

from roofline.errors import InvalidInput

Split = Literal["columns", "rows", "heads", "kv_heads", "replicated"]
"""How tensor parallelism cuts a matrix of `inner` rows and `columns` columns.

`columns` and `rows` cut that dimension; `heads` cuts columns in whole heads; `kv_heads` in whole key-value heads, which
are replicated once there are more ranks than heads; `replicated` is held whole by every rank.
"""

Part = Literal[
    "embedding",
    "lm_head",
    "attention",
    "linear_mixer",
    "dense_ffn",
    "experts",
    "shared_experts",
    "router",
    "norm_other",
]
"""The part of a model under which a weight is counted; the fields of `Parameters`."""

PARTS: tuple[Part, ...] = get_args(Part)

Size = Annotated[int, Field(gt=0, lt=10**9, strict=True)]
"""A dimension: a whole number above zero. The limit rules out what no model of this century could mean."""

Count = Annotated[int, Field(ge=0, lt=10**13, strict=True)]
"""A number of things, possibly none."""


class Shape(BaseModel):
    """Base of everything that says what a model is: immutable, hashable, and closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other fields, checked as any shape is; what was counted of this one is not taken over."""
        return type(self)(**{**self._fields(), **(update or {})})

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Computed once: a search for a layout looks up what is known of the same layers again and again."""
        return hash(tuple(self._fields().values()))

    def __getstate__(self) -> dict[Any, Any]:
        """Fields alone: hashes of text are others in another process."""
        return {**super().__getstate__(), "__dict__": self._fields()}

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}


@dataclass(frozen=True, slots=True)
class Matrix:
    """A weight matrix that each token passing it is multiplied with: 2 · inner · columns FLOP per token.

    `kernel` names the kernel it runs in: matrices of one layer with the same label are fused into one launch.
    """

    name: str
    inner: int
    columns: int
    split: Split
    part: Part
    kernel: str = ""

    def __post_init__(self) -> None:
        if not self.kernel:
            object.__setattr__(self, "kernel", self.name)

    @property
    def elements(self) -> int:
        """Weights in the matrix [1]."""
        return self.inner * self.columns


class Projection(Shape):
    """A matrix outside mixers and feed-forwards, such as those of per-layer embeddings and hyper-connections."""

    name: str
    inner: Size
    columns: Size
    split: Split = "replicated"
    part: Part = "norm_other"

    def matrix(self) -> Matrix:
        """The projection as the matrix that counts and estimates use."""
        return Matrix(self.name, self.inner, self.columns, self.split, self.part)


class Vector(Shape):
    """Weights that are added or scaled with rather than multiplied as a matrix: biases, norms, sinks, short filters."""

    name: str
    elements: Size
    part: Part = "norm_other"


def bias_vectors(matrices: Iterable[Matrix], biased: tuple[str, ...]) -> tuple[Vector, ...]:
    """One bias vector for each of the `matrices` named in `biased`; the names must exist."""
    named = {matrix.name: matrix for matrix in matrices}
    unknown = [name for name in biased if name not in named]
    if unknown:
        raise InvalidInput("biased", given=unknown[0], expected=f"one of {', '.join(named)}")
    return tuple(Vector(name=f"{name}_bias", elements=named[name].columns, part=named[name].part) for name in biased)


def state_matrix(name: str, inner: int, columns: int, split: Split, kernel: str) -> Matrix:
    """A matrix of a mixer that keeps a state."""
    return Matrix(name, inner, columns, split, "linear_mixer", kernel)


def state_vector(name: str, elements: int) -> Vector:
    """A vector of a mixer that keeps a state."""
    return Vector(name=name, elements=elements, part="linear_mixer")
