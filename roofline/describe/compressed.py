"""Attention over compressed keys (DeepSeek-V4)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from roofline.describe.mixer import Indexer, Mixer
from roofline.describe.parts import Matrix, Size, Vector
from roofline.equations.attention import windowed_pairs
from roofline.equations.compression import summaries, summary_pairs
from roofline.numeric import Num, maximum, minimum


class CompressedAttention(Mixer):
    """Attention over compressed keys (DeepSeek-V4): the last `window` tokens one by one, all earlier ones in summaries.

    One key of `head_dim` serves all heads and is its own value. Every `ratio` tokens are summarised in one further key;
    with an `indexer` its own, smaller summaries choose which of them are attended to. `ratio` None keeps the window
    only. The output is projected in `output_groups` groups through `output_rank`.
    """

    kind: Literal["compressed_attention"] = "compressed_attention"
    heads: Size
    q_rank: Size
    head_dim: Size
    window: Size
    ratio: Size | None
    indexer: Indexer | None
    output_groups: Size
    output_rank: Size

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        if self.heads * self.head_dim % self.output_groups:
            raise ValueError(f"{self.heads} heads of {self.head_dim} do not divide into {self.output_groups} groups")
        return self

    @property
    def kv_heads(self) -> int:
        """One: the key is shared by all heads."""
        return 1

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Queries through their latent, the one key, its compressor, and the grouped output."""
        found = [
            Matrix("q_down", hidden, self.q_rank, "replicated", "attention", "qkv_down"),
            Matrix("q_up", self.q_rank, self.heads * self.head_dim, "heads", "attention"),
            Matrix("kv", hidden, self.head_dim, "replicated", "attention", "qkv_down"),
        ]
        if self.ratio is not None:
            width = self.head_dim * self._overlap
            found.append(Matrix("compress_kv", hidden, width, "replicated", "attention", "compress"))
            found.append(Matrix("compress_gate", hidden, width, "replicated", "attention", "compress"))
        if self.indexer:
            width = self.indexer.dim * self._overlap
            queries = self.indexer.heads * self.indexer.dim
            found.append(Matrix("index_q", self.q_rank, queries, "replicated", "attention"))
            found.append(Matrix("index_compress_kv", hidden, width, "replicated", "attention", "index_k"))
            found.append(Matrix("index_compress_gate", hidden, width, "replicated", "attention", "index_k"))
            found.append(Matrix("index_weights", hidden, self.indexer.heads, "replicated", "attention", "index_k"))
        group = self.heads * self.head_dim // self.output_groups
        wide = self.output_groups * self.output_rank
        found.append(Matrix("o_down", group, wide, "columns", "attention"))
        found.append(Matrix("o", wide, hidden, "rows", "attention"))
        return tuple(found)

    @property
    def _overlap(self) -> int:
        """A compressor whose summaries are searched lets neighbouring blocks overlap: twice the width."""
        return 2 if self.indexer else 1

    def own_vectors(self) -> tuple[Vector, ...]:
        """Norms, sinks and the position biases of the compressors."""
        found = [
            Vector(name="q_latent_norm", elements=self.q_rank),
            Vector(name="kv_norm", elements=self.head_dim),
            Vector(name="sinks", elements=self.heads, part="attention"),
        ]
        for dim in (self.head_dim, *((self.indexer.dim,) if self.indexer else ())):
            if self.ratio is not None:
                positions = self.ratio * dim * self._overlap
                found.append(Vector(name="compress_positions", elements=positions, part="attention"))
                found.append(Vector(name="compress_norm", elements=dim))
        return tuple(found)

    def _summaries(self, context: Num) -> Num:
        return context * 0 if self.ratio is None else whole(context, self.ratio)

    def stored_keys(self, context: Num) -> Num:
        """The window and one key for every whole `ratio` of tokens."""
        recent: Num = minimum(context, self.window)
        return recent + self._summaries(context)

    def visible_keys(self, context: Num) -> Num:
        """The window and the summaries, or the `top_k` of them that the indexer chooses."""
        recent: Num = minimum(context, self.window)
        summaries = self._summaries(context)
        return recent + (summaries if self.indexer is None else minimum(summaries, self.indexer.top_k))

    def earlier_keys(self, cached: Num) -> Num:
        """The window but for the token itself, and the summaries that there are or that the indexer chooses."""
        summaries = self._summaries(cached)
        recent: Num = minimum(cached, self.window - 1)
        return recent + (summaries if self.indexer is None else minimum(summaries, self.indexer.top_k))

    def kept_keys(self, new: Num, cached: Num) -> Num:
        """The new ones in the window, and the summaries that they complete."""
        recent: Num = minimum(new, self.window)
        return recent + (self._summaries(cached + new) - self._summaries(cached))

    def attended_pairs(self, new: Num, cached: Num) -> Num:
        """The window of every query, and the summaries there are or that the indexer chooses."""
        most = None if self.indexer is None else self.indexer.top_k
        return windowed_pairs(new, cached, self.window) + self._summary_pairs(new, cached, most)

    def indexed_pairs(self, new: Num, cached: Num) -> Num:
        """Every summary there is, query by query."""
        return new * 0 if self.indexer is None else self._summary_pairs(new, cached, None)

    def _summary_pairs(self, new: Num, cached: Num, most: int | None) -> Num:
        """Query by query, the summaries there are, or the `most` of them that one query may choose."""
        ratio = self.ratio
        if ratio is None:
            return new * 0

        def until(tokens: Num) -> Num:
            if most is None:
                return summary_pairs(tokens, ratio)
            full = most * ratio  # from here on every query has its choice
            return summary_pairs(minimum(tokens, full), ratio) + most * maximum(tokens - full, 0)

        return until(cached + new) - until(cached)

    @property
    def key_elements(self) -> int:
        """Key and value are one."""
        return self.head_dim

    @property
    def pair_flops(self) -> int:
        """Score and value products of every head: 4 · heads · head_dim."""
        return 4 * self.heads * self.head_dim

    def indexed_keys(self, context: Num) -> Num:
        """Every summary."""
        return self._summaries(context) if self.indexer else context * 0

    def index_elements(self, context: Num) -> Num:
        """One index key per summary."""
        return self.indexed_keys(context) * (self.indexer.elements if self.indexer else 0)

    @property
    def index_flops(self) -> int:
        """2 · heads · dim of the indexer."""
        return self.indexer.flops if self.indexer else 0


def whole(context: Num, ratio: int) -> Num:
    """How many whole groups of `ratio` tokens there are in `context`.

    >>> whole(1023, 4)
    255
    """
    if isinstance(context, int):
        return context // ratio
    return summaries(context, ratio)
