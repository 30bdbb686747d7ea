"""Mixers with a matrix of memories instead of a cache: linear attention, and convolutions over a few tokens.

A token reads the state, updates it and moves on: FLOP and bytes do not depend on the context. `state_flops` counts a
multiplication and an addition as 2 and leaves out what is smaller than the state.
"""

from __future__ import annotations

from typing import Literal

from roofline.describe.mixer import Mixer
from roofline.describe.parts import Matrix, Size, Vector, state_matrix, state_vector


class GatedDeltaNet(Mixer):
    """Linear attention that corrects what a key already recalls (Gated DeltaNet, arXiv:2412.06464).

    `key_heads` of `key_dim` serve `value_heads` of `value_dim`; decay and write strength per value head.
    """

    kind: Literal["gated_delta_net"] = "gated_delta_net"
    key_heads: Size
    value_heads: Size
    key_dim: Size
    value_dim: Size
    filter_length: Size

    @property
    def heads(self) -> int:
        """Value heads: each has a state."""
        return self.value_heads

    @property
    def kv_heads(self) -> int:
        """Key heads, which value heads share."""
        return self.key_heads

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Query, key, value, output gate, decay and write strength; then the output."""
        keys, values = self.key_heads * self.key_dim, self.value_heads * self.value_dim
        return (
            Matrix("q", hidden, keys, "kv_heads", "linear_mixer", "in"),
            Matrix("k", hidden, keys, "kv_heads", "linear_mixer", "in"),
            state_matrix("v", hidden, values, "heads", "in"),
            state_matrix("output_gate", hidden, values, "heads", "in"),
            state_matrix("decay_write", hidden, 2 * self.value_heads, "heads", "decay_write"),
            state_matrix("out", values, hidden, "rows", "out"),
        )

    @property
    def filtered(self) -> int:
        """Channels that pass the short convolution."""
        return 2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim

    def own_vectors(self) -> tuple[Vector, ...]:
        """Filters, decay and step bias per head, the norm of the output."""
        return (
            state_vector("filters", self.filtered * self.filter_length),
            state_vector("decay_step", 2 * self.value_heads),
            Vector(name="output_norm", elements=self.value_dim),
        )

    @property
    def recurrent_elements(self) -> int:
        """value_heads · key_dim · value_dim."""
        return self.value_heads * self.key_dim * self.value_dim

    @property
    def convolution_elements(self) -> int:
        """The last inputs of every filtered channel."""
        return self.filtered * (self.filter_length - 1)

    @property
    def state_flops(self) -> int:
        """Decay 1, recall 2, correction 2, output 2, per element of the state."""
        return 7 * self.recurrent_elements


class KimiDeltaAttention(Mixer):
    """A delta rule with decay per channel (KDA; Kimi Linear, arXiv:2510.26692).

    `decay_rank` and `gate_rank` are the ranks of the projections of decay and output gate; None: full rank.
    """

    kind: Literal["kimi_delta_attention"] = "kimi_delta_attention"
    heads: Size
    head_dim: Size
    filter_length: Size
    decay_rank: Size | None
    gate_rank: Size | None

    @property
    def inner(self) -> int:
        """Channels over all heads."""
        return self.heads * self.head_dim

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Query, key, value, decay, write strength, output gate; then the output."""
        found = [state_matrix(name, hidden, self.inner, "heads", "qkv") for name in ("q", "k", "v")]
        for name, rank in (("decay", self.decay_rank), ("output_gate", self.gate_rank)):
            if rank is None:
                found.append(state_matrix(name, hidden, self.inner, "heads", name))
            else:
                found.append(state_matrix(f"{name}_down", hidden, rank, "replicated", "gates_down"))
                found.append(state_matrix(f"{name}_up", rank, self.inner, "heads", f"{name}_up"))
        found.append(state_matrix("write", hidden, self.heads, "heads", "write"))
        found.append(state_matrix("out", self.inner, hidden, "rows", "out"))
        return tuple(found)

    def own_vectors(self) -> tuple[Vector, ...]:
        """Filters of query, key and value; decay per head and its bias per channel; the norm of the output."""
        return (
            state_vector("filters", 3 * self.inner * self.filter_length),
            state_vector("decay", self.heads + self.inner),
            Vector(name="output_norm", elements=self.head_dim),
        )

    @property
    def recurrent_elements(self) -> int:
        """heads · head_dim²."""
        return self.inner * self.head_dim

    @property
    def convolution_elements(self) -> int:
        """The last inputs of query, key and value."""
        return 3 * self.inner * (self.filter_length - 1)

    @property
    def state_flops(self) -> int:
        """Decay 1, recall 2, correction 2, output 2, per element of the state."""
        return 7 * self.recurrent_elements


class LightningAttention(Mixer):
    """Linear attention with a fixed decay per head and a gated output (MiniMax-01, arXiv:2501.08313)."""

    kind: Literal["lightning_attention"] = "lightning_attention"
    heads: Size
    head_dim: Size

    @property
    def inner(self) -> int:
        """Channels over all heads."""
        return self.heads * self.head_dim

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Query, key and value; output gate; output."""
        return (
            *(state_matrix(name, hidden, self.inner, "heads", "qkv") for name in ("q", "k", "v")),
            state_matrix("output_gate", hidden, self.inner, "heads", "output_gate"),
            state_matrix("out", self.inner, hidden, "rows", "out"),
        )

    def own_vectors(self) -> tuple[Vector, ...]:
        """The norm of the output."""
        return (Vector(name="output_norm", elements=self.inner),)

    @property
    def recurrent_elements(self) -> int:
        """heads · head_dim²."""
        return self.inner * self.head_dim

    @property
    def state_flops(self) -> int:
        """Input product 1, decay and add 2, output 2, per element of the state."""
        return 5 * self.recurrent_elements


class ShortConvolution(Mixer):
    """A gated convolution over the last few tokens (LFM2, arXiv:2511.23404): nothing else is kept."""

    kind: Literal["short_convolution"] = "short_convolution"
    width: Size
    filter_length: Size
    filter_bias: bool = False

    @property
    def heads(self) -> int:
        """Channels are independent of each other."""
        return self.width

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Two gates and the input as one; then the output."""
        return (
            state_matrix("in", hidden, 3 * self.width, "heads", "in"),
            state_matrix("out", self.width, hidden, "rows", "out"),
        )

    def own_vectors(self) -> tuple[Vector, ...]:
        """The filters."""
        return (state_vector("filters", self.width * (self.filter_length + self.filter_bias)),)

    @property
    def convolution_elements(self) -> int:
        """The last inputs of every channel."""
        return self.width * (self.filter_length - 1)
