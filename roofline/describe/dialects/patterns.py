"""Which layers have a window, which keep a state, and which have experts: the rules that families share."""

from __future__ import annotations

from collections.abc import Callable

from roofline.describe.dialects.dialect import Reading
from roofline.describe.dialects.keys import LARGEST_CONTEXT

WINDOWED = ("sliding_attention", "sliding", "local", "local_attention", "chunked_attention", "hybrid_sliding")
FULL = ("full_attention", "full", "attention", "global", "global_attention", "hybrid")
LINEAR = ("linear_attention", "mamba", "mamba2", "recurrent")
CONVOLUTION = ("conv", "short_conv")


def declared_window(reading: Reading) -> int | None:
    """The window as the config declares it."""
    return reading.keys.optional_size(*reading.names("window"), most=LARGEST_CONTEXT)


def window(reading: Reading) -> int | None:
    """The declared window, unless it covers the longest context and is therefore none."""
    size = declared_window(reading)
    longest = reading.keys.optional_size(*reading.names("context"), most=LARGEST_CONTEXT)
    return None if size is None or (longest is not None and size >= longest) else size


def everywhere(reading: Reading) -> list[int | None]:
    """The window, if one is declared, holds in every layer."""
    return [window(reading)] * reading.count


def listed(reading: Reading) -> list[int | None]:
    """`layer_types` says which layers have the window; it may be absent only where there is no window."""
    if declared_window(reading) is not None and not reading.keys.given("layer_types"):
        raise reading.keys.missing("layer_types")
    return by_type(reading, lambda reading: [False] * reading.count)


def by_type(reading: Reading, otherwise: Callable[[Reading], list[bool]]) -> list[int | None]:
    """`layer_types` says which layers have the window, or a rule does where it is absent."""
    reading.keys.read.update(reading.names("window"))
    if reading.keys.given("layer_types"):
        windowed = [word in WINDOWED for word in reading.keys.words("layer_types", reading.count, (*WINDOWED, *FULL))]
    else:
        windowed = otherwise(reading)
    size = declared_window(reading) if any(windowed) else None
    if any(windowed) and size is None:
        raise reading.keys.missing(*reading.names("window"))
    return [size if inside else None for inside in windowed]


def every(interval: int, *keys: str) -> Callable[[Reading], list[int | None]]:
    """`layer_types`, or all layers but every `interval`-th slide; one of `keys` may hold another interval.

    A string in place of the interval, such as `LLLG`, spells the pattern out.
    """

    def rule(reading: Reading) -> list[bool]:
        reading.keys.read.update(keys)
        name = reading.keys.given(*keys)
        if name and isinstance(reading.keys.data[name], str):
            pattern = reading.keys.text(name)
            if not pattern or set(pattern) - set("LG"):
                raise reading.keys.error(name, pattern, "a number, or a pattern of L (local) and G (global)")
            return [pattern[index % len(pattern)] == "L" for index in range(reading.count)]
        period = reading.keys.size(*keys, default=interval) if keys else interval
        return [(index + 1) % period != 0 for index in range(reading.count)]

    def pattern(reading: Reading) -> list[int | None]:
        reading.keys.read.update((*keys, *reading.names("window")))
        if not reading.keys.given("layer_types") and declared_window(reading) is None:
            return [None] * reading.count
        return by_type(reading, rule)

    return pattern


def alternating(reading: Reading) -> list[int | None]:
    """`layer_types`, or every second layer slides, the first one first."""
    return by_type(reading, lambda reading: [index % 2 == 0 for index in range(reading.count)])


def above(reading: Reading) -> list[int | None]:
    """Qwen: a window only with `use_sliding_window`, and then in the layers from `max_window_layers` on."""
    reading.keys.read.update(("max_window_layers", "layer_types", *reading.names("window")))
    if not reading.keys.flag("use_sliding_window", False):
        return [None] * reading.count

    def upper(reading: Reading) -> list[bool]:
        first = reading.keys.count("max_window_layers", default=0)
        return [index >= first for index in range(reading.count)]

    return by_type(reading, upper)


def upper(reading: Reading) -> list[int | None]:
    """`layer_types`, or a declared window holds from layer `max_window_layers` on."""

    def rule(reading: Reading) -> list[bool]:
        first = reading.keys.count("max_window_layers", default=reading.count)
        return [declared_window(reading) is not None and index >= first for index in range(reading.count)]

    reading.keys.read.add("max_window_layers")
    return by_type(reading, rule)


def linear_by_type(reading: Reading, otherwise: Callable[[Reading], list[bool]]) -> list[bool]:
    """Which layers keep a state instead of a cache, by `layer_types` or by a rule where it is absent."""
    if reading.keys.given("layer_types"):
        return [word in LINEAR for word in reading.keys.words("layer_types", reading.count, (*LINEAR, *FULL))]
    return otherwise(reading)


def all_sparse(reading: Reading) -> list[bool]:
    """Experts in every layer."""
    return [True] * reading.count


def by_step(reading: Reading) -> list[bool]:
    """Qwen: experts in every `decoder_sparse_step`-th layer, except `mlp_only_layers`."""
    step = reading.keys.size("decoder_sparse_step", default=1)
    dense = reading.keys.numbers("mlp_only_layers")
    return [index not in dense and (index + 1) % step == 0 for index in range(reading.count)]


def after_dense_prefix(reading: Reading) -> list[bool]:
    """DeepSeek: dense for the first `first_k_dense_replace` layers, then experts every `moe_layer_freq`-th layer.

    Newer configs list the layers, in `mlp_layer_types` or as zeros and ones in `moe_layer_freq`.
    """
    count, keys = reading.count, reading.keys
    keys.read.update(("first_k_dense_replace", "moe_layer_freq", "mlp_layer_types"))
    if keys.given("mlp_layer_types"):
        return [word == "sparse" for word in keys.words("mlp_layer_types", count, ("dense", "sparse"))]
    if isinstance(keys.data.get("moe_layer_freq"), list):
        return [mark == 1 for mark in keys.sizes("moe_layer_freq", count, least=0, most=1)]
    first = keys.count("first_k_dense_replace", default=0)
    period = keys.size("moe_layer_freq", default=1)
    return [index >= first and index % period == 0 for index in range(count)]


def marked(key: str, otherwise: Callable[[Reading], list[bool]]) -> Callable[[Reading], list[bool]]:
    """A list with a mark per layer, or another rule where it is absent."""

    def rule(reading: Reading) -> list[bool]:
        if not reading.keys.given(key):
            return otherwise(reading)
        for mark in (found := reading.keys.items(key, reading.count)):
            if mark not in (0, 1):
                raise reading.keys.error(key, mark, "true or false for every layer")
        otherwise(reading)
        return [bool(mark) for mark in found]

    return rule


def after(key: str, default: int) -> Callable[[Reading], list[bool]]:
    """Dense for as many layers as `key` says, or as `mlp_layer_types` lists."""

    def rule(reading: Reading) -> list[bool]:
        first = reading.keys.count(key, default=default) if key else default
        if reading.keys.given("mlp_layer_types"):
            return after_dense_prefix(reading)
        return [index >= first for index in range(reading.count)]

    return rule
