"""Mixers that keep keys and values: multi-head, grouped and multi-query attention, and latent attention (MLA)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from roofline.describe.mixer import Gate, Indexer, Mixer, Width
from roofline.describe.parts import Matrix, Size, Vector
from roofline.equations.attention import full_pairs, windowed_pairs
from roofline.numeric import Num, minimum


class Attention(Mixer):
    """Softmax attention with `heads` query heads that share `kv_heads` keys of `key_dim` and values of `value_dim`.

    MHA is `kv_heads == heads`, MQA is `kv_heads == 1`. With a `window`, a token attends to the last `window` tokens
    and older ones are dropped from the cache; `chunked` cuts the sequence in chunks of that size instead.
    """

    kind: Literal["attention"] = "attention"
    heads: Size
    kv_heads: Size
    key_dim: Size
    value_dim: Size
    q_rank: Size | None = None
    """Queries pass a narrower latent, with a norm on it, that all heads share."""
    window: Size | None = None
    chunked: bool = False
    indexer: Indexer | None = None
    qk_norm: Literal["none", "head", "each", "full"] = "none"
    """Norms of queries and keys: none; of each head, with a weight per element that all heads share, or with `each` its
    own; or a `full` one over all heads at once, with a weight per element of all of them.
    """
    qk_norm_bias: bool = False
    sinks: bool = False
    """One learned logit per head that takes up attention without a key."""
    gate: Gate = "none"
    shares_kv: bool = False
    """Reads the cache of an earlier layer: no key or value projection, nothing stored."""
    key_is_value: bool = False
    """No value projection: the value is the key before its rotation. Both are stored."""
    filter_channels: Width = 0
    """Channels of short convolutions around the attention, each of `filter_length` weights."""
    filter_length: Width = 0

    @model_validator(mode="after")
    def _heads_share(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} key-value heads evenly")
        return self

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Query, key, value, gate and output projections."""
        query, output = self.heads * self.key_dim, self.heads * self.value_dim
        if self.q_rank is None:
            found = [Matrix("q", hidden, query, "heads", "attention", "qkv")]
        else:
            found = [
                Matrix("q_down", hidden, self.q_rank, "replicated", "attention", "qkv"),
                Matrix("q", self.q_rank, query, "heads", "attention", "q_up"),
            ]
        if not self.shares_kv:
            found.append(Matrix("k", hidden, self.kv_heads * self.key_dim, "kv_heads", "attention", "qkv"))
            if not self.key_is_value:
                found.append(Matrix("v", hidden, self.kv_heads * self.value_dim, "kv_heads", "attention", "qkv"))
        if self.gate != "none":
            width = self.heads if self.gate == "head" else output
            found.append(Matrix("attention_gate", hidden, width, "heads", "attention", "qkv"))
        found.append(Matrix("o", output, hidden, "rows", "attention"))
        if self.indexer:
            found.extend(self.indexer.matrices(hidden, hidden))
        return tuple(found)

    def own_vectors(self) -> tuple[Vector, ...]:
        """Norms of queries and keys, sinks and filters."""
        found = [] if self.q_rank is None else [Vector(name="q_latent_norm", elements=self.q_rank)]
        if self.qk_norm != "none":
            heads, kv_heads = (1, 1) if self.qk_norm == "head" else (self.heads, self.kv_heads)
            each = self.key_dim * (2 if self.qk_norm_bias else 1)
            found.append(Vector(name="q_norm", elements=heads * each))
            if not self.shares_kv:
                found.append(Vector(name="k_norm", elements=kv_heads * each))
        if self.sinks:
            found.append(Vector(name="sinks", elements=self.heads, part="attention"))
        if self.filter_channels:
            filters = self.filter_channels * self.filter_length
            found.append(Vector(name="filters", elements=filters, part="linear_mixer"))
        return (*found, *(self.indexer.vectors() if self.indexer else ()))

    def stored_keys(self, context: Num) -> Num:
        """Every token, or the last `window`; none where an earlier layer's cache is read."""
        return context * 0 if self.shares_kv else self._reachable(context)

    def _reachable(self, context: Num) -> Num:
        return context if self.window is None else minimum(context, self.window)

    def visible_keys(self, context: Num) -> Num:
        """What the window and the choice of the indexer leave."""
        reachable = self._reachable(context)
        return reachable if self.indexer is None else minimum(reachable, self.indexer.top_k)

    @property
    def most_keys(self) -> int | None:
        """The narrower of the window and the choice of the indexer."""
        limits = [limit for limit in (self.window, self.indexer.top_k if self.indexer else None) if limit is not None]
        return min(limits, default=None)

    def indexed_pairs(self, new: Num, cached: Num) -> Num:
        """Every earlier token that the window reaches, query by query, if this layer searches itself."""
        if not (self.indexer and self.indexer.flops):
            return new * 0
        return full_pairs(new, cached) if self.window is None else windowed_pairs(new, cached, self.window)

    @property
    def key_elements(self) -> int:
        """Key and value of every key-value head."""
        return self.kv_heads * (self.key_dim + self.value_dim)

    @property
    def pair_flops(self) -> int:
        """Score and value products of every query head: 2 · heads · (key_dim + value_dim)."""
        return 2 * self.heads * (self.key_dim + self.value_dim)

    def indexed_keys(self, context: Num) -> Num:
        """Every earlier token, if this layer searches itself."""
        return self._reachable(context) if self.indexer and self.indexer.flops else context * 0

    def index_elements(self, context: Num) -> Num:
        """One index key per token."""
        return self.indexed_keys(context) * (self.indexer.elements if self.indexer else 0)

    @property
    def index_flops(self) -> int:
        """2 · heads · dim of the indexer."""
        return self.indexer.flops if self.indexer else 0

    @property
    def convolution_elements(self) -> int:
        """The last inputs of every filter."""
        return self.filter_channels * max(self.filter_length - 1, 0)


class LatentAttention(Mixer):
    """Multi-head latent attention (MLA; DeepSeek-V2, arXiv:2405.04434): one latent per token stands for all heads.

    The cache holds `kv_rank + rope_dim` elements per token, shared by every head, so ranks of tensor parallelism
    replicate it. Keys and values may be rebuilt from the latent (prefill), or the up-projection may be absorbed into
    the query and the output (decode): the FLOP per attended key then differ, the weights do not. `q_rank` None means
    queries of full rank; `rope_dim` 0 means keys without a rotated part.
    """

    kind: Literal["latent_attention"] = "latent_attention"
    heads: Size
    q_rank: Size | None
    kv_rank: Size
    nope_dim: Size
    rope_dim: Width
    value_dim: Size
    window: Size | None = None
    indexer: Indexer | None = None
    sinks: bool = False
    gate: Gate = "none"

    @property
    def kv_heads(self) -> int:
        """One: the latent is shared by all heads."""
        return 1

    @property
    def key_dim(self) -> int:
        """Width of a rebuilt key."""
        return self.nope_dim + self.rope_dim

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Down-projections, which every rank holds, and up-projections by heads."""
        query = self.heads * self.key_dim
        found: list[Matrix] = []
        if self.q_rank is None:
            found.append(Matrix("q", hidden, query, "heads", "attention"))
        else:
            found.append(Matrix("q_down", hidden, self.q_rank, "replicated", "attention", "qkv_down"))
            found.append(Matrix("q_up", self.q_rank, query, "heads", "attention"))
        found.append(Matrix("kv_down", hidden, self.key_elements, "replicated", "attention", "qkv_down"))
        rebuilt = self.heads * (self.nope_dim + self.value_dim)
        found.append(Matrix("kv_up", self.kv_rank, rebuilt, "heads", "attention"))
        if self.gate != "none":
            width = self.heads * (1 if self.gate == "head" else self.value_dim)
            found.append(Matrix("attention_gate", hidden, width, "heads", "attention"))
        found.append(Matrix("o", self.heads * self.value_dim, hidden, "rows", "attention"))
        if self.indexer:
            found.extend(self.indexer.matrices(hidden, self.q_rank or hidden))
        return tuple(found)

    def own_vectors(self) -> tuple[Vector, ...]:
        """Norms of the latents, and sinks."""
        found: list[Vector] = []
        if self.q_rank is not None:
            found.append(Vector(name="q_latent_norm", elements=self.q_rank))
        found.append(Vector(name="kv_latent_norm", elements=self.kv_rank))
        if self.sinks:
            found.append(Vector(name="sinks", elements=self.heads, part="attention"))
        return (*found, *(self.indexer.vectors() if self.indexer else ()))

    def stored_keys(self, context: Num) -> Num:
        """Every token, or the last `window`."""
        return context if self.window is None else minimum(context, self.window)

    def visible_keys(self, context: Num) -> Num:
        """What the window and the choice of the indexer leave."""
        stored = self.stored_keys(context)
        return stored if self.indexer is None else minimum(stored, self.indexer.top_k)

    @property
    def most_keys(self) -> int | None:
        """The narrower of the window and the choice of the indexer."""
        limits = [limit for limit in (self.window, self.indexer.top_k if self.indexer else None) if limit is not None]
        return min(limits, default=None)

    def indexed_pairs(self, new: Num, cached: Num) -> Num:
        """Every earlier token that the window reaches, query by query, if this layer searches itself."""
        if not (self.indexer and self.indexer.flops):
            return new * 0
        return full_pairs(new, cached) if self.window is None else windowed_pairs(new, cached, self.window)

    @property
    def key_elements(self) -> int:
        """The latent and the rotated part of the key, once for all heads."""
        return self.kv_rank + self.rope_dim

    @property
    def pair_flops(self) -> int:
        """With the up-projections absorbed: 2 · heads · (2 · kv_rank + rope_dim)."""
        return 2 * self.heads * (2 * self.kv_rank + self.rope_dim)

    @property
    def rebuilt_pair_flops(self) -> int:
        """With keys and values rebuilt from the latent: 2 · heads · (nope_dim + rope_dim + value_dim)."""
        return 2 * self.heads * (self.key_dim + self.value_dim)

    @property
    def rebuild_flops(self) -> int:
        """FLOP to rebuild the keys and values of one cached token."""
        return 2 * self.kv_rank * self.heads * (self.nope_dim + self.value_dim)

    def indexed_keys(self, context: Num) -> Num:
        """Every earlier token, if this layer searches itself."""
        return self.stored_keys(context) if self.indexer and self.indexer.flops else context * 0

    def index_elements(self, context: Num) -> Num:
        """One index key per token."""
        return self.indexed_keys(context) * (self.indexer.elements if self.indexer else 0)

    @property
    def index_flops(self) -> int:
        """2 · heads · dim of the indexer."""
        return self.indexer.flops if self.indexer else 0
