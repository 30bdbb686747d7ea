"""Mixers that keep keys and values: multi-head, grouped and multi-query attention, and latent attention (MLA).

Every mixer answers the same questions, so that whoever estimates its cost need not know its family:

* `matrices(hidden)`, `vectors(hidden)`: its weights;
* `stored_keys(context)`, `kv_elements(context)`: what a sequence of `context` tokens keeps in the cache;
* `visible_keys(context)`: how many keys one new token attends to;
* `pair_flops`: FLOP per token and attended key; `key_elements`: elements of the cache read per attended key;
* `index_elements(context)`, `index_flops`: the cheap search of sparse attention, over `indexed_keys(context)` keys;
* `recurrent_elements`, `convolution_elements`, `state_flops`: a state whose size does not depend on the context.

`context` may be an int, a float, a numpy array or a symbol.
"""

from __future__ import annotations

from typing import Literal

from roofline.describe.parts import Matrix, Shape, Size, Vector, bias_vectors
from roofline.numeric import Num, minimum


class Mixer(Shape):
    """What all mixers have in common; the answers here are those of a mixer that keeps nothing."""

    biased: tuple[str, ...] = ()
    """Names of the matrices that carry a bias."""
    extra: tuple[Vector, ...] = ()
    """Further weights of the mixer that are not matrices."""

    def matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """The weight matrices, for a model of width `hidden`."""
        raise NotImplementedError

    def vectors(self, hidden: int) -> tuple[Vector, ...]:
        """Biases, norms and all other weights that are not matrices."""
        return (*bias_vectors(self.matrices(hidden), self.biased), *self.extra)

    def stored_keys(self, context: Num) -> Num:
        """Keys kept in the cache for a sequence of `context` tokens [1]."""
        return context * 0

    def visible_keys(self, context: Num) -> Num:
        """Keys that a new token attends to when the cache covers `context` tokens [1]."""
        return self.stored_keys(context)

    @property
    def key_elements(self) -> int:
        """Cache elements per stored key, its value included, over all key-value heads [1]."""
        return 0

    def kv_elements(self, context: Num) -> Num:
        """Elements in the key-value cache of a sequence of `context` tokens [1]."""
        return self.stored_keys(context) * self.key_elements

    @property
    def pair_flops(self) -> int:
        """FLOP per new token and attended key, scores and values, over all heads [FLOP]."""
        return 0

    def indexed_keys(self, context: Num) -> Num:
        """Index keys that a new token is compared with before it attends [1]."""
        return context * 0

    def index_elements(self, context: Num) -> Num:
        """Elements in the cache of index keys of sparse attention [1]."""
        return context * 0

    @property
    def index_flops(self) -> int:
        """FLOP per new token and index key [FLOP]."""
        return 0

    @property
    def recurrent_elements(self) -> int:
        """Elements of the recurrent state of one sequence [1]."""
        return 0

    @property
    def convolution_elements(self) -> int:
        """Past inputs that short convolutions keep for one sequence [1]."""
        return 0

    @property
    def state_flops(self) -> int:
        """FLOP that one token spends on updating and reading the recurrent state [FLOP]."""
        return 0


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
    window: Size | None = None
    chunked: bool = False
    qk_norm: Literal["none", "head", "full"] = "none"
    """Norms of queries and keys: none, one weight per element of a head, or one per element of all heads."""
    sinks: bool = False
    """One learned logit per head that takes up attention without a key."""
    gate: Literal["none", "head", "full"] = "none"
    """A gate on the output, projected from the input: none, one value per head, or one per element."""
    shares_kv: bool = False
    """Reads the cache of an earlier layer: no key or value projection, nothing stored."""
    key_is_value: bool = False
    """No value projection: the value is the key before its rotation. Both are stored."""

    def matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Query, key, value, gate and output projections."""
        query, output = self.heads * self.key_dim, self.heads * self.value_dim
        found = [Matrix("q", hidden, query, "heads", "attention", "qkv")]
        if not self.shares_kv:
            found.append(Matrix("k", hidden, self.kv_heads * self.key_dim, "kv_heads", "attention", "qkv"))
            if not self.key_is_value:
                found.append(Matrix("v", hidden, self.kv_heads * self.value_dim, "kv_heads", "attention", "qkv"))
        if self.gate != "none":
            width = self.heads if self.gate == "head" else output
            found.append(Matrix("attention_gate", hidden, width, "heads", "attention", "qkv"))
        found.append(Matrix("o", output, hidden, "rows", "attention"))
        return tuple(found)

    def vectors(self, hidden: int) -> tuple[Vector, ...]:
        """Biases, norms of queries and keys, and sinks."""
        found = list(super().vectors(hidden))
        if self.qk_norm != "none":
            heads, kv_heads = (1, 1) if self.qk_norm == "head" else (self.heads, self.kv_heads)
            found.append(Vector(name="q_norm", elements=heads * self.key_dim))
            if not self.shares_kv:
                found.append(Vector(name="k_norm", elements=kv_heads * self.key_dim))
        if self.sinks:
            found.append(Vector(name="sinks", elements=self.heads, part="attention"))
        return tuple(found)

    def stored_keys(self, context: Num) -> Num:
        """Every token, or the last `window`; none where an earlier layer's cache is read."""
        return context * 0 if self.shares_kv else self.visible_keys(context)

    def visible_keys(self, context: Num) -> Num:
        """Every token, or the last `window`."""
        return context if self.window is None else minimum(context, self.window)

    @property
    def key_elements(self) -> int:
        """Key and value of every key-value head."""
        return self.kv_heads * (self.key_dim + self.value_dim)

    @property
    def pair_flops(self) -> int:
        """Score and value products of every query head: 2 · heads · (key_dim + value_dim)."""
        return 2 * self.heads * (self.key_dim + self.value_dim)


class LatentAttention(Mixer):
    """Multi-head latent attention (MLA; DeepSeek-V2, arXiv:2405.04434): one latent per token stands for all heads.

    The cache holds `kv_rank + rope_dim` elements per token, shared by every head, so ranks of tensor parallelism
    replicate it. Keys and values may be rebuilt from the latent (prefill), or the up-projection may be absorbed into
    the query and the output (decode): the FLOP per attended key then differ, the weights do not.
    """

    kind: Literal["latent_attention"] = "latent_attention"
    heads: Size
    q_rank: Size | None
    kv_rank: Size
    nope_dim: Size
    rope_dim: int
    value_dim: Size
    window: Size | None = None
    gate: Literal["none", "head", "full"] = "none"

    @property
    def kv_heads(self) -> int:
        """One: the latent is shared by all heads."""
        return 1

    @property
    def key_dim(self) -> int:
        """Width of a rebuilt key."""
        return self.nope_dim + self.rope_dim

    def matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Down-projections, which every rank holds, and up-projections by heads."""
        query = self.heads * self.key_dim
        found: list[Matrix] = []
        if self.q_rank is None:
            found.append(Matrix("q", hidden, query, "heads", "attention"))
        else:
            found.append(Matrix("q_down", hidden, self.q_rank, "replicated", "attention", "qkv_down"))
            found.append(Matrix("q_up", self.q_rank, query, "heads", "attention"))
        found.append(Matrix("kv_down", hidden, self.kv_rank + self.rope_dim, "replicated", "attention", "qkv_down"))
        rebuilt = self.heads * (self.nope_dim + self.value_dim)
        found.append(Matrix("kv_up", self.kv_rank, rebuilt, "heads", "attention"))
        if self.gate != "none":
            width = self.heads * (1 if self.gate == "head" else self.value_dim)
            found.append(Matrix("attention_gate", hidden, width, "heads", "attention"))
        found.append(Matrix("o", self.heads * self.value_dim, hidden, "rows", "attention"))
        return tuple(found)

    def vectors(self, hidden: int) -> tuple[Vector, ...]:
        """Biases and the norms of the latents."""
        found = list(super().vectors(hidden))
        if self.q_rank is not None:
            found.append(Vector(name="q_latent_norm", elements=self.q_rank))
        found.append(Vector(name="kv_latent_norm", elements=self.kv_rank))
        return tuple(found)

    def stored_keys(self, context: Num) -> Num:
        """Every token, or the last `window`."""
        return context if self.window is None else minimum(context, self.window)

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
