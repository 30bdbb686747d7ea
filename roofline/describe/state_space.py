"""Mixers with a state-space model: a recurrence per channel, with what it remembers chosen by the input.

A token reads the state, updates it and moves on: FLOP and bytes do not depend on the context. `state_flops` counts a
multiplication and an addition as 2 and leaves out what is smaller than the state.
"""

from __future__ import annotations

from typing import Literal

from roofline.describe.attention import Attention
from roofline.describe.mixer import Mixer
from roofline.describe.parts import Matrix, Size, Vector, state_matrix, state_vector
from roofline.numeric import Num


class Mamba(Mixer):
    """A selective state-space layer (Mamba, arXiv:2312.00752): `inner` channels, each with a state of `state`.

    `inner_norms` normalise step, input and output matrices (Jamba).
    """

    kind: Literal["mamba"] = "mamba"
    inner: Size
    state: Size
    step_rank: Size
    filter_length: Size
    filter_bias: bool = True
    inner_norms: bool = False

    @property
    def heads(self) -> int:
        """Channels are independent of each other."""
        return self.inner

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Input, the projections that select, step and output."""
        return (
            state_matrix("in", hidden, 2 * self.inner, "heads", "in"),
            state_matrix("select", self.inner, self.step_rank + 2 * self.state, "rows", "select"),
            state_matrix("step", self.step_rank, self.inner, "heads", "step"),
            state_matrix("out", self.inner, hidden, "rows", "out"),
        )

    def own_vectors(self) -> tuple[Vector, ...]:
        """Filters, decay, skip and the bias of the step."""
        found = [
            state_vector("filters", self.inner * (self.filter_length + self.filter_bias)),
            state_vector("decay", self.inner * self.state),
            state_vector("skip", self.inner),
            state_vector("step_bias", self.inner),
        ]
        if self.inner_norms:
            found.append(Vector(name="inner_norms", elements=self.step_rank + 2 * self.state))
        return tuple(found)

    @property
    def recurrent_elements(self) -> int:
        """inner · state."""
        return self.inner * self.state

    @property
    def convolution_elements(self) -> int:
        """The last inputs of every channel."""
        return self.inner * (self.filter_length - 1)

    @property
    def state_flops(self) -> int:
        """Decay from the step 1, input 1, decay and add 2, output 2, per element of the state."""
        return 6 * self.recurrent_elements


class Mamba2(Mixer):
    """A state-space layer with scalar decay per head (Mamba-2, arXiv:2405.21060).

    `heads` of `head_dim` channels; input and output matrices of `state` columns shared by `groups`. `gated_norm` is the
    norm before the output projection.
    """

    kind: Literal["mamba2"] = "mamba2"
    heads: Size
    head_dim: Size
    state: Size
    groups: Size
    filter_length: Size
    filter_bias: bool = True
    gated_norm: bool = True

    @property
    def inner(self) -> int:
        """Channels over all heads."""
        return self.heads * self.head_dim

    @property
    def filtered(self) -> int:
        """Channels that pass the short convolution."""
        return self.inner + 2 * self.groups * self.state

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Gate, input, the two state matrices and the step, as one kernel; then the output."""
        return (
            state_matrix("gate", hidden, self.inner, "heads", "in"),
            state_matrix("in", hidden, self.inner, "heads", "in"),
            Matrix("select", hidden, 2 * self.groups * self.state, "kv_heads", "linear_mixer", "in"),
            state_matrix("step", hidden, self.heads, "heads", "in"),
            state_matrix("out", self.inner, hidden, "rows", "out"),
        )

    @property
    def kv_heads(self) -> int:
        """Groups, which heads share as query heads share keys."""
        return self.groups

    def own_vectors(self) -> tuple[Vector, ...]:
        """Filters; decay, skip and step bias per head; the norm."""
        found = [
            state_vector("filters", self.filtered * (self.filter_length + self.filter_bias)),
            state_vector("decay_skip_step", 3 * self.heads),
        ]
        if self.gated_norm:
            found.append(Vector(name="gated_norm", elements=self.inner))
        return tuple(found)

    @property
    def recurrent_elements(self) -> int:
        """heads · head_dim · state."""
        return self.inner * self.state

    @property
    def convolution_elements(self) -> int:
        """The last inputs of every filtered channel."""
        return self.filtered * (self.filter_length - 1)

    @property
    def state_flops(self) -> int:
        """Input product 1, decay and add 2, output 2, per element of the state."""
        return 5 * self.recurrent_elements


class GatedRecurrence(Mixer):
    """A gated linear recurrence per channel (RG-LRU; RecurrentGemma, arXiv:2404.07839), gates by blocks of heads."""

    kind: Literal["gated_recurrence"] = "gated_recurrence"
    width: Size
    heads: Size
    filter_length: Size

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Branch and gate, the two block-diagonal gates of the recurrence, and the output."""
        block = self.width // self.heads
        return (
            state_matrix("gate", hidden, self.width, "heads", "in"),
            state_matrix("in", hidden, self.width, "heads", "in"),
            state_matrix("input_gate", block, self.width, "heads", "gates"),
            state_matrix("recurrent_gate", block, self.width, "heads", "gates"),
            state_matrix("out", self.width, hidden, "rows", "out"),
        )

    def own_vectors(self) -> tuple[Vector, ...]:
        """Filters with biases and the recurrence's own parameter."""
        return (
            state_vector("filters", self.width * (self.filter_length + 1)),
            state_vector("recurrence", self.width),
        )

    @property
    def recurrent_elements(self) -> int:
        """One per channel."""
        return self.width

    @property
    def convolution_elements(self) -> int:
        """The last inputs of every channel."""
        return self.width * (self.filter_length - 1)

    @property
    def state_flops(self) -> int:
        """Decay, input and addition, per channel."""
        return 3 * self.width


class ParallelMixers(Mixer):
    """Attention and a state-space layer side by side on the same input, their outputs added (Falcon-H1)."""

    kind: Literal["parallel"] = "parallel"
    attention: Attention
    recurrent: Mamba2

    @property
    def heads(self) -> int:
        """Heads of the attention."""
        return self.attention.heads

    @property
    def kv_heads(self) -> int:
        """Key-value heads of the attention."""
        return self.attention.kv_heads

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Those of both."""
        return (*self.attention.matrices(hidden), *self.recurrent.matrices(hidden))

    def vectors(self, hidden: int) -> tuple[Vector, ...]:
        """Those of both."""
        return (*self.attention.vectors(hidden), *self.recurrent.vectors(hidden), *self.extra)

    def stored_keys(self, context: Num) -> Num:
        """Those of the attention."""
        return self.attention.stored_keys(context)

    @property
    def key_elements(self) -> int:
        """Those of the attention."""
        return self.attention.key_elements

    @property
    def pair_flops(self) -> int:
        """Those of the attention."""
        return self.attention.pair_flops

    @property
    def recurrent_elements(self) -> int:
        """Those of the state-space layer."""
        return self.recurrent.recurrent_elements

    @property
    def convolution_elements(self) -> int:
        """Those of the state-space layer."""
        return self.recurrent.convolution_elements

    @property
    def state_flops(self) -> int:
        """Those of the state-space layer."""
        return self.recurrent.state_flops
