"""Feed-forwards: one dense network, or a mixture of experts with what surrounds it.

Both answer `matrices(hidden)`, the weights that every token passes, and `expert_matrices(hidden)`, those of one routed
expert (none for a dense network).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from roofline.describe.parts import Matrix, Part, Shape, Size, Vector, bias_vectors


def network(prefix: str, hidden: int, width: int, *, gated: bool, part: Part) -> tuple[Matrix, ...]:
    """The two matrices of a plain network, or the three of a gated one, from `hidden` through `width` and back."""
    up = Matrix(f"{prefix}up", hidden, width, "columns", part, f"{prefix}gate_up" if gated else f"{prefix}up")
    down = Matrix(f"{prefix}down", width, hidden, "rows", part)
    if not gated:
        return (up, down)
    return (Matrix(f"{prefix}gate", hidden, width, "columns", part, f"{prefix}gate_up"), up, down)


class Dense(Shape):
    """One feed-forward network of `width`; `gated` networks (SwiGLU and its kin) have a third matrix."""

    kind: Literal["dense"] = "dense"
    width: Size
    gated: bool = True
    biased: tuple[str, ...] = ()
    """Names of the matrices that carry a bias."""
    extra: tuple[Vector, ...] = ()

    def matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Gate and up-projection by columns, down-projection by rows."""
        return network("", hidden, self.width, gated=self.gated, part="dense_ffn")

    def expert_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """None: every token passes every matrix."""
        return ()

    def vectors(self, hidden: int) -> tuple[Vector, ...]:
        """Biases and whatever else the network carries."""
        return (*bias_vectors(self.matrices(hidden), self.biased), *self.extra)

    def expert_vectors(self, hidden: int) -> tuple[Vector, ...]:
        """None: there are no experts."""
        return ()


class MoE(Shape):
    """A mixture of `experts` networks of `expert_width`, of which each token passes `top_k`.

    Beside them may run a shared expert of `shared_width` (all shared experts together) and a dense network of
    `dense_width`. A latent mixture works on a narrower `latent_width`, with one projection down and one up around the
    experts. `zero_experts` take part in the routing and weigh nothing.
    """

    kind: Literal["moe"] = "moe"
    experts: Size
    top_k: Size
    expert_width: Size
    gated: bool = True
    shared_width: Annotated[int, Field(ge=0, lt=10**9, strict=True)] = 0
    shared_gate: bool = False
    """A learned scalar weighs the shared expert (one more column beside the router)."""
    dense_width: Annotated[int, Field(ge=0, lt=10**9, strict=True)] = 0
    latent_width: Size | None = None
    zero_experts: Annotated[int, Field(ge=0, lt=10**6, strict=True)] = 0
    router: bool = True
    """False where tokens find their experts without a learned router."""
    biased: tuple[str, ...] = ()
    """Names of the matrices that carry a bias, those of the experts among them."""
    extra: tuple[Vector, ...] = ()

    @model_validator(mode="after")
    def _choice_exists(self) -> Self:
        if self.top_k > self.experts + self.zero_experts:
            raise ValueError(f"top_k {self.top_k} exceeds the {self.experts + self.zero_experts} experts")
        return self

    def matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Router, shared and dense networks, and the projections of a latent mixture: what every token passes."""
        found: list[Matrix] = []
        if self.router:
            found.append(Matrix("router", hidden, self.experts + self.zero_experts, "replicated", "router"))
        if self.latent_width is not None:
            found.append(Matrix("latent_down", hidden, self.latent_width, "replicated", "norm_other"))
            found.append(Matrix("latent_up", self.latent_width, hidden, "replicated", "norm_other"))
        if self.shared_width:
            found.extend(network("shared_", hidden, self.shared_width, gated=self.gated, part="shared_experts"))
            if self.shared_gate:
                found.append(Matrix("shared_expert_gate", hidden, 1, "replicated", "shared_experts"))
        if self.dense_width:
            found.extend(network("", hidden, self.dense_width, gated=self.gated, part="dense_ffn"))
        return tuple(found)

    def expert_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """The matrices of one routed expert."""
        return network("expert_", self.latent_width or hidden, self.expert_width, gated=self.gated, part="experts")

    def vectors(self, hidden: int) -> tuple[Vector, ...]:
        """Biases of what every token passes, and whatever else the mixture carries."""
        matrices = self.matrices(hidden)
        names = {matrix.name for matrix in self.expert_matrices(hidden)}
        biased = tuple(name for name in self.biased if name not in names)
        return (*bias_vectors(matrices, biased), *self.extra)

    def expert_vectors(self, hidden: int) -> tuple[Vector, ...]:
        """Biases of one routed expert."""
        matrices = self.expert_matrices(hidden)
        names = {matrix.name for matrix in matrices}
        return bias_vectors(matrices, tuple(name for name in self.biased if name in names))

    def expert_elements(self, hidden: int) -> int:
        """Weights of one routed expert, biases included [1]."""
        matrices = sum(matrix.elements for matrix in self.expert_matrices(hidden))
        return matrices + sum(vector.elements for vector in self.expert_vectors(hidden))
