"""The formats a checkpoint is stored in, as its `quantization_config` says, in the dialects of the tools that write it.

A checkpoint may keep single parts unquantized, by name, or give each module a format of its own. `Quantization` knows
three parts: linear layers, routed experts, and embedding with head. A part takes the format of most of its weights;
what that leaves out is said as an assumption.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from roofline.describe.dialects.keys import Keys
from roofline.describe.formats import PRESETS, Quantization

KINDS = ("attention", "mixer", "dense", "shared", "experts", "head")
"""Kinds of modules that checkpoints tell apart; the first four are linear layers."""

Formats = dict[str, tuple[str, str]]
"""For each kind, the format its weights are stored in and the one its multiplications run in."""

_BF16 = ("bf16", "bf16")
_ALGORITHMS = {
    "FP8": ("fp8", "fp8"),
    "FP8_PER_CHANNEL_PER_TOKEN": ("fp8", "fp8"),
    "FP8_PB_WO": ("fp8_block", "bf16"),
    "MXFP8": ("mxfp8", "mxfp8"),
    "NVFP4": ("nvfp4", "nvfp4"),
    "NVFP4_AWQ": ("nvfp4", "nvfp4"),
    "W4A16_NVFP4": ("nvfp4", "bf16"),
    "W4A8_NVFP4_FP8": ("nvfp4", "fp8"),
    "MXFP4": ("mxfp4", "mxfp4"),
    "W4A8_MXFP4_FP8": ("mxfp4", "fp8"),
    "W4A16_MXFP4": ("mxfp4", "bf16"),
    "INT4_AWQ": ("int4", "bf16"),
    "W4A16_AWQ": ("int4", "bf16"),
    "W4A8_AWQ": ("int4", "fp8"),
    "W8A16": ("int8", "bf16"),
    "W8A8_SQ_PER_CHANNEL": ("int8", "int8"),
    "INT8": ("int8", "int8"),
}
"""Formats of weights and activations by the algorithm's name in NVIDIA ModelOpt."""

_ELEMENTS = {
    ("float", 4, 16): "nvfp4",
    ("float", 4, 32): "mxfp4",
    ("float", 8, 32): "mxfp8",
    ("float", 8, None): "fp8",
    ("int", 8, None): "int8",
    ("int", 4, None): "int4",
}
"""Formats by type, bits and group in compressed-tensors; a group that is not listed counts as None."""


def checkpoint_formats(keys: Keys, layers: int, weights: Mapping[str, int]) -> tuple[Quantization, list[str]]:
    """Formats of the parts of a checkpoint, and what had to be assumed; bf16 where nothing is said.

    `layers` counts the model's layers and `weights` its parameters by kind [1].
    """
    name = keys.given("quantization_config", "compression_config", "quantization")
    if name is None:
        return PRESETS["bf16"], []
    stated = keys.part(name)
    method = stated.text("quant_method", _implied_method(stated))
    if method not in _METHODS:
        raise stated.error("quant_method", method, f"one of {', '.join(sorted(_METHODS))}")
    formats = _METHODS[method](stated, layers)
    if keys.text("expert_dtype", "") == "fp4" and method == "fp8":  # DeepSeek-V4 says so outside
        formats["experts"] = ("mxfp4", formats["experts"][1])
    return _summed_up(formats, weights, _cache_format(stated))


def _implied_method(stated: Keys) -> str | None:
    """ModelOpt names an algorithm instead; MLX gives bits and a group, and nothing else."""
    if stated.given("quant_algo"):
        return "modelopt"
    return "mlx" if stated.given("bits") and stated.given("group_size") else None


def _summed_up(formats: Formats, weights: Mapping[str, int], cache: str) -> tuple[Quantization, list[str]]:
    """One format for the linear layers, one for the experts, one for multiplications: each that of the most weights."""
    present = {kind: formats[kind] for kind in KINDS[:5] if weights.get(kind)}
    notes = []
    linear = {kind: stored for kind, (stored, _) in present.items() if kind != "experts"}
    chosen = _heaviest(linear, weights) or "bf16"
    if len(set(linear.values())) > 1:
        parts = ", ".join(f"{kind} in {stored}" for kind, stored in linear.items())
        notes.append(f"the checkpoint stores {parts}: all linear layers are taken as {chosen}")
    computed = {kind: activations for kind, (stored, activations) in present.items() if stored != "bf16"}
    activations = _heaviest(computed, weights) or "bf16"
    if len(set(computed.values())) > 1:
        parts = ", ".join(f"{kind} in {name}" for kind, name in computed.items())
        notes.append(f"the checkpoint multiplies {parts}: all of them are taken as {activations}")
    if formats["head"][0] != "bf16":
        notes.append(f"the checkpoint stores the head in {formats['head'][0]}: it is taken as bf16 with the embedding")
    experts = present["experts"][0] if "experts" in present else chosen
    return (
        Quantization(
            weights=chosen, experts=None if experts == chosen else experts, activations=activations, kv_cache=cache
        ),
        notes,
    )


def _heaviest(choices: Mapping[str, str], weights: Mapping[str, int]) -> str | None:
    """The choice with the most weights behind it, or None where there is none."""
    votes: Counter[str] = Counter()
    for kind, choice in choices.items():
        votes[choice] += weights[kind]
    return votes.most_common(1)[0][0] if votes else None


def _fp8(stated: Keys, layers: int) -> Formats:
    """DeepSeek's own: blocks share a scale where `weight_block_size` says so, else the whole tensor does."""
    block = stated.data.get("weight_block_size")
    stated.read.add("weight_block_size")
    return _keeping(stated, ("fp8_block" if block else "fp8", "fp8"), layers)


def _mxfp4(stated: Keys, layers: int) -> Formats:
    """OpenAI's own: only the routed experts are quantized."""
    return {**dict.fromkeys(KINDS, _BF16), "experts": ("mxfp4", "mxfp4")}


def _integer(stated: Keys, layers: int) -> Formats:
    """AWQ, GPTQ, MLX and their kin: integer weights, 16-bit activations."""
    bits = stated.size("bits", "w_bit", "weight_bits", default=4)
    if bits not in (4, 8):
        raise stated.error("bits", bits, "4 or 8")
    return _keeping(stated, (f"int{bits}", "bf16"), layers)


def _bitsandbytes(stated: Keys, layers: int) -> Formats:
    weights = "int8" if stated.flag("load_in_8bit", False) else "int4"
    return _keeping(stated, (weights, "bf16"), layers)


def _compressed_tensors(stated: Keys, layers: int) -> Formats:
    """Groups of modules, each with a format for weights and one for activations, and a list of exceptions."""
    groups = stated.part("config_groups")
    if not groups.data:
        raise stated.error("config_groups", "nothing", "at least one group")
    formats: Formats = dict.fromkeys(KINDS, _BF16)
    for name in list(groups.data)[:64]:
        group = groups.part(name)
        targets = group.data.get("targets")
        named = [target for target in targets if isinstance(target, str)] if isinstance(targets, list) else []
        general = "Linear" in named or not named
        kinds = KINDS if general else {kind for target in named for kind in _kinds(target)}
        formats.update(dict.fromkeys(kinds, _group_formats(group)))
    return _keeping(stated, formats, layers)


def _group_formats(group: Keys) -> tuple[str, str]:
    weights = _element(group.part("weights"))
    if not group.given("input_activations"):
        return weights, "mxfp4" if weights == "mxfp4" else "bf16"
    return weights, _element(group.part("input_activations"))


def _element(scheme: Keys) -> str:
    """The number format of a scheme such as `{type: float, num_bits: 4, group_size: 16}`."""
    kind, bits = scheme.text("type", "int", choices=("int", "float")), scheme.size("num_bits")
    group = scheme.data.get("group_size")
    if scheme.data.get("strategy") == "block" or scheme.data.get("block_structure"):
        return "fp8_block" if (kind, bits) == ("float", 8) else _known(scheme, kind, bits, None)
    return _known(scheme, kind, bits, group if isinstance(group, int) else None)


def _known(scheme: Keys, kind: str, bits: int, group: int | None) -> str:
    found = _ELEMENTS.get((kind, bits, group)) or _ELEMENTS.get((kind, bits, None))
    if found is None:
        raise scheme.error("num_bits", f"{bits}-bit {kind}", "a format this library knows")
    return found


def _modelopt(stated: Keys, layers: int) -> Formats:
    """NVIDIA ModelOpt: one algorithm for all modules, or one for each of them."""
    algorithm = stated.text("quant_algo", "" if stated.given("config_groups", "quantized_layers") else None)
    if stated.given("quantized_layers"):
        return _by_module(stated)
    if algorithm in _ALGORITHMS:
        return _keeping(stated, _ALGORITHMS[algorithm], layers)
    if stated.given("config_groups"):
        return _compressed_tensors(stated, layers)
    raise stated.error("quant_algo", algorithm, f"one of {', '.join(_ALGORITHMS)}")


def _by_module(stated: Keys) -> Formats:
    """Each kind takes the algorithm that most of its modules have; kinds that are not named stay as they are."""
    votes: dict[str, Counter[str]] = {}
    for name, scheme in stated.part("quantized_layers").data.items():
        algorithm = scheme.get("quant_algo") if isinstance(scheme, Mapping) else scheme
        if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
            raise stated.error("quantized_layers", algorithm, f"one of {', '.join(_ALGORITHMS)}")
        for kind in _kinds(name):
            votes.setdefault(kind, Counter())[algorithm] += 1
    return {kind: _ALGORITHMS[votes[kind].most_common(1)[0][0]] if kind in votes else _BF16 for kind in KINDS}


_KEPT = ("modules_to_not_convert", "ignore", "exclude_modules", "llm_int8_skip_modules")


def _keeping(stated: Keys, formats: Formats | tuple[str, str], layers: int) -> Formats:
    """The formats, but 16 bits for the kinds that are kept: those named without a layer, or in half of them.

    Embedding and head are kept unless something names a format for them.
    """
    if isinstance(formats, tuple):
        formats = dict.fromkeys(KINDS, formats)
    everywhere: set[str] = {"head"}
    by_layer: dict[str, set[str]] = {}
    for name in (name for key in _KEPT for name in _names(stated, key)):
        numbered = re.search(r"layers\.(\d{1,5})(?!\d)", name)
        for kind in _kinds(name):
            if numbered:
                by_layer.setdefault(kind, set()).add(numbered[1])
            else:
                everywhere.add(kind)
    everywhere.update(kind for kind, numbers in by_layer.items() if 2 * len(numbers) >= layers)
    return {kind: _BF16 if kind in everywhere else found for kind, found in formats.items()}


_MODULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"vision|visual|audio|projector|merger|mtp|e_score|norm", ()),
    (r"lm_head|embed", ("head",)),
    (r"shared", ("shared",)),
    (r"expert", ("experts",)),
    (r"linear_attn|mamba|mixer|conv", ("mixer",)),
    (r"attn|attention", ("attention", "mixer")),
    (r"(mlp|feed_forward|ffn)\.\*.{0,60}proj", ("dense", "shared", "experts")),
    (r"(mlp|feed_forward|ffn).{0,60}(proj|w[123])|(mlp|feed_forward|ffn)\W*$", ("dense",)),
    (r"layers\.\d{1,5}\W*$", KINDS[:5]),
)
"""What a module's name, or a pattern for names, stands for: the first that fits. Routers and norms stand for nothing.

Some families call all their mixers attention."""


def _kinds(name: str) -> tuple[str, ...]:
    """The kinds of modules that a name or pattern stands for."""
    text = name[:300].lower()
    return next((kinds for pattern, kinds in _MODULES if re.search(pattern, text)), ())


def _names(stated: Keys, key: str) -> list[str]:
    if not stated.given(key):
        return []
    value = stated.data[key]
    if not isinstance(value, list):
        raise stated.error(key, value, "a list of module names")
    return [item[:300] for item in value if isinstance(item, str)]


def _cache_format(stated: Keys) -> str:
    """fp8 where the checkpoint brings scales for an 8-bit cache."""
    if isinstance(stated.data.get("kv_cache_scheme"), Mapping):
        scheme: Any = stated.part("kv_cache_scheme")
        return _element(scheme)
    algorithm = stated.data.get("kv_cache_quant_algo")
    if algorithm is None:
        return "bf16"
    known = {"FP8": "fp8", "INT8": "int8", "NVFP4": "nvfp4"}
    if not isinstance(algorithm, str) or algorithm not in known:
        raise stated.error("kv_cache_quant_algo", algorithm, f"one of {', '.join(known)}")
    return known[algorithm]


_METHODS = {
    "fp8": _fp8,
    "fbgemm_fp8": _fp8,
    "mlx": _integer,
    "mxfp4": _mxfp4,
    "awq": _integer,
    "gptq": _integer,
    "auto-round": _integer,
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": _compressed_tensors,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
    "modelopt_mixed": _modelopt,
}
