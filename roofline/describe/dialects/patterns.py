"""Which layers have a window, and which have experts: the rules that families share."""

from __future__ import annotations

from collections.abc import Callable

from roofline.describe.dialects.dialect import Reading

WINDOWED = ("sliding_attention", "sliding", "local", "chunked_attention")
FULL = ("full_attention", "attention", "global")


def window(reading: Reading) -> int | None:
    """The declared window, unless it covers the longest context and is therefore none."""
    size = reading.keys.optional_size(*reading.names("window"), most=10**9)
    longest = reading.keys.optional_size(*reading.names("context"), most=10**9)
    return None if size is None or (longest is not None and size >= longest) else size


def everywhere(reading: Reading) -> list[int | None]:
    """The window, if one is declared, holds in every layer."""
    return [window(reading)] * reading.count


def by_type(reading: Reading, otherwise: Callable[[Reading], list[int | None]] | None = None) -> list[int | None]:
    """`layer_types` says which layers slide."""
    if not reading.keys.given("layer_types"):
        return otherwise(reading) if otherwise else [None] * reading.count
    words = reading.keys.words("layer_types", reading.count, (*WINDOWED, *FULL))
    size = reading.keys.optional_size(*reading.names("window"), most=10**9)
    if size is None and any(word in WINDOWED for word in words):
        raise reading.keys.missing(*reading.names("window"))
    return [size if word in WINDOWED else None for word in words]


def alternating(reading: Reading) -> list[int | None]:
    """`layer_types`, or every second layer slides, the first one first."""

    def even(reading: Reading) -> list[int | None]:
        return [window(reading) if index % 2 == 0 else None for index in range(reading.count)]

    return by_type(reading, even)


def above(reading: Reading) -> list[int | None]:
    """Qwen: a window only with `use_sliding_window`, and then in the layers from `max_window_layers` on."""
    reading.keys.given("max_window_layers", "layer_types", *reading.names("window"))
    if not reading.keys.flag("use_sliding_window", False):
        return [None] * reading.count

    def upper(reading: Reading) -> list[int | None]:
        first = reading.keys.count("max_window_layers")
        return [window(reading) if index >= first else None for index in range(reading.count)]

    return by_type(reading, upper)


def all_sparse(reading: Reading) -> list[bool]:
    """Experts in every layer."""
    return [True] * reading.count


def by_step(reading: Reading) -> list[bool]:
    """Qwen: experts in every `decoder_sparse_step`-th layer, except `mlp_only_layers`."""
    step = reading.keys.size("decoder_sparse_step", default=1)
    dense = reading.keys.data.get("mlp_only_layers") or []
    reading.keys.read.add("mlp_only_layers")
    if not isinstance(dense, list) or any(isinstance(i, bool) or not isinstance(i, int) for i in dense):
        raise reading.keys.error("mlp_only_layers", dense, "a list of layer numbers")
    return [index not in dense and (index + 1) % step == 0 for index in range(reading.count)]


def after_dense_prefix(reading: Reading) -> list[bool]:
    """DeepSeek: dense for the first `first_k_dense_replace` layers, then experts every `moe_layer_freq`-th layer.

    Newer configs list the layers, in `mlp_layer_types` or as zeros and ones in `moe_layer_freq`.
    """
    count, keys = reading.count, reading.keys
    if keys.given("mlp_layer_types"):
        keys.read.update(("first_k_dense_replace", "moe_layer_freq"))
        return [word == "sparse" for word in keys.words("mlp_layer_types", count, ("dense", "sparse"))]
    first = keys.count("first_k_dense_replace", default=0)
    if isinstance(keys.data.get("moe_layer_freq"), list):
        return [mark == 1 for mark in keys.sizes("moe_layer_freq", count, least=0, most=1)]
    every = keys.size("moe_layer_freq", default=1)
    return [index >= first and index % every == 0 for index in range(count)]
