"""What every mixer answers, so that whoever estimates its cost need not know its family.

* `matrices(hidden)`, `vectors(hidden)`: its weights;
* `stored_keys(context)`, `kv_elements(context)`: what a sequence of `context` tokens keeps in the cache;
* `visible_keys(context)`: how many keys one new token attends to; `earlier_keys(cached)` and `kept_keys(new, cached)`:
  how many of them it finds in the cache, and how many it must leave there;
* `pair_flops`: FLOP per token and attended key; `key_elements`: cache elements per key, its value included;
* `indexed_keys(context)`, `index_flops`, `index_elements(context)`: the cheap search that sparse attention does first;
* `recurrent_elements`, `convolution_elements`, `state_flops`: a state whose size does not depend on the context.

`context` may be an int, a float, a numpy array or a symbol.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from roofline.describe.parts import Matrix, Projection, Shape, Size, Vector, bias_vectors
from roofline.equations.attention import full_pairs, windowed_pairs
from roofline.numeric import Num, minimum

Gate = Literal["none", "head", "full"]
"""A gate on a mixer's output, projected from its input: none, one value per head, or one per element."""

Width = Annotated[int, Field(ge=0, lt=10**9, strict=True)]
"""A dimension that may be absent: zero."""


class Mixer(Shape):
    """What all mixers have in common; the answers here are those of a mixer that keeps nothing.

    `biased` names the matrices that carry a bias. `projections` and `extra` are matrices and other weights that a
    family adds to the usual ones.
    """

    biased: tuple[str, ...] = ()
    projections: tuple[Projection, ...] = ()
    extra: tuple[Vector, ...] = ()

    def own_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """The matrices that this kind of mixer always has."""
        raise NotImplementedError

    def own_vectors(self) -> tuple[Vector, ...]:
        """Norms, filters and other vectors that this kind of mixer always has."""
        return ()

    def matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """The weight matrices, for a model of width `hidden`."""
        return (*self.own_matrices(hidden), *(projection.matrix() for projection in self.projections))

    def vectors(self, hidden: int) -> tuple[Vector, ...]:
        """Biases, norms and all other weights that are not matrices."""
        return (*bias_vectors(self.matrices(hidden), self.biased), *self.own_vectors(), *self.extra)

    def stored_keys(self, context: Num) -> Num:
        """Keys kept in the cache for a sequence of `context` tokens [1]."""
        return context * 0

    def visible_keys(self, context: Num) -> Num:
        """Keys that a new token attends to when the cache covers `context` tokens [1]."""
        return self.stored_keys(context)

    def earlier_keys(self, cached: Num) -> Num:
        """Of the keys in a cache of `cached` tokens, those that the next token attends to [1]."""
        return self.visible_keys(cached + 1) - 1

    def kept_keys(self, new: Num, cached: Num) -> Num:
        """Keys of `new` tokens after `cached` ones that are in the cache when all of them are through [1]."""
        return minimum(new, self.stored_keys(cached + new))

    @property
    def most_keys(self) -> int | None:
        """Most keys that one token attends to, None where nothing limits them [1]."""
        return None

    def attended_pairs(self, new: Num, cached: Num) -> Num:
        """Pairs of a query and a key it attends to, for `new` tokens after `cached` ones [1]."""
        return full_pairs(new, cached) if self.most_keys is None else windowed_pairs(new, cached, self.most_keys)

    def indexed_pairs(self, new: Num, cached: Num) -> Num:
        """Pairs of a query and an index key it is compared with, for `new` tokens after `cached` ones [1]."""
        return new * self.indexed_keys(cached + new)

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


class Indexer(Shape):
    """The search of sparse attention: small heads score all earlier keys, and the `top_k` best are attended to.

    DeepSeek-V3.2, arXiv:2512.02556: `heads` queries of `dim` against one key per token. With a `block`, whole blocks of
    tokens are chosen, by their best key. A layer that `shares` takes the choice of an earlier layer and has no weights
    or keys of its own. `weighted` indexers mix their heads by learned weights. `narrow_query` ones project the query
    from its latent, the others from the residual stream.
    """

    heads: Size
    dim: Size
    top_k: Size
    shares: bool = False
    weighted: bool = True
    narrow_query: bool = True
    extra: tuple[Vector, ...] = ()
    projections: tuple[Projection, ...] = ()

    def matrices(self, hidden: int, query_width: int) -> tuple[Matrix, ...]:
        """Projections of index queries, keys and head weights; replicated, since every rank needs every choice."""
        if self.shares:
            return ()
        inner = query_width if self.narrow_query else hidden
        found = [
            Matrix("index_q", inner, self.heads * self.dim, "replicated", "attention"),
            Matrix("index_k", hidden, self.dim, "replicated", "attention", "index_k"),
        ]
        if self.weighted:
            found.append(Matrix("index_weights", hidden, self.heads, "replicated", "attention", "index_k"))
        return (*found, *(projection.matrix() for projection in self.projections))

    def vectors(self) -> tuple[Vector, ...]:
        """Norms of the index keys and whatever else it carries."""
        return () if self.shares else self.extra

    @property
    def flops(self) -> int:
        """FLOP per new token and index key."""
        return 0 if self.shares else 2 * self.heads * self.dim

    @property
    def elements(self) -> int:
        """Cache elements per index key: one key serves all heads."""
        return 0 if self.shares else self.dim
