"""What a dialect is: a family of models, the keys it uses for each concept, and the traits its configs leave unsaid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from roofline.describe.dialects.keys import MOST_LAYERS, Keys
from roofline.describe.feedforward import FeedForward
from roofline.describe.mixer import Mixer
from roofline.describe.model import Layer

Trait = bool | str | tuple[str, bool]
"""Always, never, or as a boolean key says: its name, with what its absence means (False where only a name is given)."""

Norm = Literal["none", "head", "each", "full"]

COMMON_KEYS: dict[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers",),
    "hidden": ("hidden_size",),
    "vocab": ("vocab_size",),
    "context": ("max_position_embeddings", "model_max_length", "max_position_embedding", "max_seq_len"),
    "heads": ("num_attention_heads",),
    "kv_heads": ("num_key_value_heads",),
    "head_dim": ("head_dim",),
    "width": ("intermediate_size",),
    "window": ("sliding_window",),
    "experts": ("num_experts", "num_local_experts"),
    "top_k": ("num_experts_per_tok",),
    "expert_width": ("moe_intermediate_size",),
    "expert_groups": ("n_group", "num_expert_group"),
    "chosen_groups": ("topk_group",),
    "tied": ("tie_word_embeddings",),
}
"""Which key holds each concept, unless a dialect says otherwise.

A dialect may add `shared_width`, the width of all shared experts together, or `shared_count`, how many there are, each
as wide as a routed one or as `shared_each` says.
"""


@dataclass(frozen=True)
class Dialect:
    """One family's way of writing a config.

    `family` is its name in messages and `types` the values of `model_type` that speak it. `keys` overrides
    `COMMON_KEYS`; the traits say what no key says. `windows` and `sparse` name the layers with a window and those with
    experts. A family whose parts are not the usual ones supplies its own `mixers`, `feed_forwards` or whole `layers`,
    and `outside` for what lies outside them.
    """

    family: str
    types: tuple[str, ...]
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    defaults: Mapping[str, int] = field(default_factory=dict)
    """Sizes that the family's published configs leave out where they are these."""
    harmless: tuple[str, ...] = ()
    """Keys of this family that do not change the shape."""

    tied: bool = False
    """What an absent tie_word_embeddings means."""
    head_dim: int | None = None
    """Head dimension where the key is absent; None: hidden / heads."""
    qkv_bias: Trait = False
    output_bias: Trait = False
    ffn_bias: Trait = False
    head_bias: Trait = False
    router_bias: Trait = False
    expert_bias: Trait = False
    gated: Trait = True
    qk_norm: Norm | tuple[Trait, Norm] = "none"
    """The norm of queries and keys, always or where a trait holds."""
    norms: int | Callable[[Reading], int] = 2
    """Norms per layer."""
    final_norm: bool = True
    parallel: Trait | Callable[[Reading], bool] = False
    """Whether attention and network read the same input side by side, and are added to the residual stream at once."""
    norm_bias: Trait = False
    """Whether a norm has a bias beside its weight."""
    gate: Literal["none", "head", "full"] = "none"
    """The gate on the output of attention."""
    gate_in_query: bool = False
    """Whether the gate is one matrix with the query projection, and shares its bias."""
    sinks: Trait = False
    shared_gate: bool = False
    correction: bool = False
    """Whether routing has a correction per expert that is a trained parameter (most keep it as a buffer)."""

    width: Callable[[Reading], int] | None = None
    """Width of dense networks where it is not simply a key."""
    windows: Callable[[Reading], Sequence[int | None]] | None = None
    sparse: Callable[[Reading], Sequence[bool]] | None = None
    mixers: Callable[[Reading], Sequence[Mixer | None]] | None = None
    feed_forwards: Callable[[Reading], Sequence[FeedForward | None]] | None = None
    layers: Callable[[Reading], Sequence[Layer]] | None = None
    outside: Callable[[Reading], Mapping[str, Any]] | None = None


class Reading:
    """One config being read in one dialect: concepts instead of keys, and what had to be assumed."""

    def __init__(self, keys: Keys, dialect: Dialect, *, strict: bool) -> None:
        self.keys = keys
        self.dialect = dialect
        self.strict = strict
        self.assumptions: list[str] = []

    def names(self, concept: str) -> tuple[str, ...]:
        """The keys that may hold a concept."""
        return self.dialect.keys.get(concept) or COMMON_KEYS[concept]

    def size(self, concept: str, default: int | None = None) -> int:
        """A concept as a whole number above zero."""
        return self.keys.size(*self.names(concept), default=self.dialect.defaults.get(concept, default))

    def on(self, trait: Trait) -> bool:
        """Whether a trait holds for this config."""
        if isinstance(trait, bool):
            return trait
        key, absent = (trait, False) if isinstance(trait, str) else trait
        return self.keys.flag(key, absent)

    def fault(self, concept: str, given: object, expected: str) -> Exception:
        """A complaint about the key that holds a concept."""
        return self.keys.error(self.keys.given(*self.names(concept)) or self.names(concept)[0], given, expected)

    @property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return self.size("hidden")

    @property
    def count(self) -> int:
        """Number of layers."""
        return self.keys.size(*self.names("layers"), most=MOST_LAYERS)

    @property
    def heads(self) -> int:
        """Query heads."""
        return self.size("heads")

    @property
    def kv_heads(self) -> int:
        """Key-value heads; as many as heads where the key is absent."""
        found = self.size("kv_heads", self.heads)
        if self.heads % found:
            raise self.fault("kv_heads", found, f"a divisor of the {self.heads} heads")
        return found

    @property
    def head_dim(self) -> int:
        """Dimension of a head: as given, else the family's, else hidden / heads."""
        if self.dialect.head_dim:
            return self.size("head_dim", self.dialect.head_dim)
        if self.keys.given(*self.names("head_dim")):
            return self.size("head_dim")
        if self.hidden % self.heads:
            raise self.fault("heads", self.heads, f"a divisor of the width {self.hidden}, there being no head_dim")
        return self.hidden // self.heads
