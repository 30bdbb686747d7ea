"""A model's layers in words: what mixes tokens, what feeds forward, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from roofline.describe.feedforward import Dense, MoE
from roofline.describe.model import Layer, ModelShape

_LONGEST_PERIOD = 16
"""Layers after which a pattern that has not come again is taken to be none."""


def mixers(model: ModelShape) -> str:
    """The kinds of mixers of a model, with how many layers each where there are several."""
    counts: dict[str, int] = {}
    for layer in model.layers:
        if layer.mixer is not None:
            name = mixer_name(layer.mixer)
            counts[name] = counts.get(name, 0) + 1
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} × {name}" for name, count in counts.items())


def pattern(model: ModelShape) -> str:
    """Layers in order, what repeats folded: `3 × (MLA 128 + dense 18,432), 58 × (…)`."""
    return ", ".join(
        f"{count} × ({', '.join(block)})" if count > 1 else ", ".join(block)
        for count, block in _folded([layer_name(layer) for layer in model.layers])
    )


def layer_name(layer: Layer) -> str:
    """One layer: its mixer and its feed-forward."""
    parts = [mixer_name(layer.mixer)] if layer.mixer is not None else []
    parts += [_feed_forward_name(layer.feed_forward)] if layer.feed_forward is not None else []
    return " + ".join(parts) or "nothing"


def mixer_name(mixer: Any) -> str:
    """A mixer in a few words: `GQA 64/8` is 64 query heads over 8 key-value heads."""
    name = _NAMES[mixer.kind](mixer)
    window = getattr(mixer, "window", None)
    if window is not None:
        name += f" {'chunk' if getattr(mixer, 'chunked', False) else 'window'} {window:,}"
    if getattr(mixer, "indexer", None) is not None:
        name += f" sparse top {mixer.indexer.top_k:,}"
    return name


def _attention(mixer: Any) -> str:
    if mixer.heads == mixer.kv_heads:
        return f"MHA {mixer.heads}"
    return f"MQA {mixer.heads}" if mixer.kv_heads == 1 else f"GQA {mixer.heads}/{mixer.kv_heads}"


_NAMES: Mapping[str, Callable[[Any], str]] = {
    "attention": _attention,
    "latent_attention": lambda mixer: f"MLA {mixer.heads}",
    "compressed_attention": lambda mixer: f"compressed attention {mixer.heads}",
    "mamba": lambda mixer: "Mamba",
    "mamba2": lambda mixer: f"Mamba-2 {mixer.heads}",
    "gated_delta_net": lambda mixer: f"gated DeltaNet {mixer.value_heads}",
    "kimi_delta_attention": lambda mixer: f"KDA {mixer.heads}",
    "lightning_attention": lambda mixer: f"lightning attention {mixer.heads}",
    "short_convolution": lambda mixer: "short convolution",
    "gated_recurrence": lambda mixer: "gated recurrence",
    "parallel": lambda mixer: f"{mixer_name(mixer.attention)} beside {mixer_name(mixer.recurrent)}",
}


def _feed_forward_name(feed_forward: Dense | MoE) -> str:
    if isinstance(feed_forward, Dense):
        return f"dense {feed_forward.width:,}"
    shared = f" + shared {feed_forward.shared_width:,}" if feed_forward.shared_width else ""
    dense = f" + dense {feed_forward.dense_width:,}" if feed_forward.dense_width else ""
    return f"{feed_forward.top_k} of {feed_forward.experts:,} experts {feed_forward.expert_width:,}{shared}{dense}"


def _folded(names: Sequence[str]) -> list[tuple[int, tuple[str, ...]]]:
    """Runs of a block of layers with how often each comes in a row; the longest runs first come first served."""
    found: list[tuple[int, tuple[str, ...]]] = []
    start = 0
    while start < len(names):
        best, block = 1, tuple(names[start : start + 1])
        for period in range(1, min(_LONGEST_PERIOD, (len(names) - start) // 2) + 1):
            candidate = tuple(names[start : start + period])
            count = 1
            while tuple(names[start + count * period : start + (count + 1) * period]) == candidate:
                count += 1
            if count > 1 and count * period > best * len(block):
                best, block = count, candidate
        found.append((best, block))
        start += best * len(block)
    return found
