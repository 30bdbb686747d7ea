"""Feed-forwards: one dense network, or a mixture of experts with what surrounds it.

Both answer `matrices(hidden)` and `vectors(hidden)`, the weights that every token passes, and `expert_matrices(hidden)`
and `expert_vectors(hidden)`, those of one routed expert (none for a dense network).
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from roofline.describe.mixer import Width
from roofline.describe.parts import Matrix, Part, Projection, Shape, Size, Vector, bias_vectors


def network(prefix: str, hidden: int, width: int, *, gated: bool, part: Part) -> tuple[Matrix, ...]:
    """The two matrices of a plain network, or the three of a gated one, from `hidden` through `width` and back."""
    up = Matrix(f"{prefix}up", hidden, width, "columns", part, f"{prefix}gate_up" if gated else f"{prefix}up")
    down = Matrix(f"{prefix}down", width, hidden, "rows", part)
    if not gated:
        return (up, down)
    return (Matrix(f"{prefix}gate", hidden, width, "columns", part, f"{prefix}gate_up"), up, down)


class FeedForward(Shape):
    """What both kinds have in common.

    `biased` names the matrices that carry a bias, those of experts among them. `projections` and `extra` are matrices
    and other weights that a family adds to the usual ones.
    """

    gated: bool = True
    """Whether there is a third matrix whose output gates the width (SwiGLU and its kin)."""
    biased: tuple[str, ...] = ()
    projections: tuple[Projection, ...] = ()
    extra: tuple[Vector, ...] = ()

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """The matrices that this kind of feed-forward always has, those of experts apart."""
        raise NotImplementedError

    def matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """What every token passes, for a model of width `hidden`."""
        return (*self.own_matrices(hidden), *(projection.matrix() for projection in self.projections))

    def expert_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """The matrices of one routed expert."""
        return ()

    def vectors(self, hidden: int) -> tuple[Vector, ...]:
        """Biases of what every token passes, and whatever else there is."""
        matrices = self.matrices(hidden)
        experts = {matrix.name for matrix in self.expert_matrices(hidden)}
        return (*bias_vectors(matrices, tuple(name for name in self.biased if name not in experts)), *self.extra)

    def expert_vectors(self, hidden: int) -> tuple[Vector, ...]:
        """Biases of one routed expert."""
        matrices = self.expert_matrices(hidden)
        experts = {matrix.name for matrix in matrices}
        return bias_vectors(matrices, tuple(name for name in self.biased if name in experts))

    def expert_elements(self, hidden: int) -> int:
        """Weights of one routed expert, biases included [1]."""
        matrices = sum(matrix.elements for matrix in self.expert_matrices(hidden))
        return matrices + sum(vector.elements for vector in self.expert_vectors(hidden))


class Dense(FeedForward):
    """One feed-forward network of `width`."""

    kind: Literal["dense"] = "dense"
    width: Size

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Gate and up-projection by columns, down-projection by rows."""
        return network("", hidden, self.width, gated=self.gated, part="dense_ffn")


class MoE(FeedForward):
    """A mixture of `experts` networks of `expert_width`, of which each token passes `top_k`.

    Beside them may run a shared expert of `shared_width` (all shared experts together), weighed by a learned scalar
    where there is a `shared_gate`, and a dense network of `dense_width`. A latent mixture works on a narrower
    `latent_width`, with one projection down and one up around the experts. `zero_experts` take part in the routing and
    weigh nothing: of the `top_k` choices, only the share that falls on real experts costs anything. A router may have
    the experts in `expert_groups` of equal size, and limit a token's to `chosen_groups` of them, on fewer nodes.
    """

    kind: Literal["moe"] = "moe"
    experts: Size
    top_k: Size
    expert_width: Size
    shared_width: Width = 0
    shared_gate: bool = False
    dense_width: Width = 0
    latent_width: Size | None = None
    zero_experts: Width = 0
    expert_groups: Size = 1
    chosen_groups: Size = 1

    @model_validator(mode="after")
    def _choice_exists(self) -> Self:
        if self.top_k > self.experts + self.zero_experts:
            raise ValueError(f"top_k {self.top_k} exceeds the {self.experts + self.zero_experts} experts")
        if self.experts % self.expert_groups:
            raise ValueError(f"{self.experts} experts do not divide into {self.expert_groups} groups")
        if self.chosen_groups > self.expert_groups:
            raise ValueError(f"chosen_groups {self.chosen_groups} exceeds the {self.expert_groups} groups")
        if self.top_k * self.expert_groups > (self.experts + self.zero_experts) * self.chosen_groups:
            raise ValueError(f"{self.chosen_groups} of {self.expert_groups} groups do not hold {self.top_k} experts")
        return self

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Router, shared and dense networks, and the projections of a latent mixture."""
        found = [Matrix("router", hidden, self.experts + self.zero_experts, "replicated", "router")]
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
        """The matrices of one routed expert, between the latents where there are any."""
        return network("expert_", self.latent_width or hidden, self.expert_width, gated=self.gated, part="experts")
