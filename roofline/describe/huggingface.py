"""Reads a Hugging Face config.json as a `ModelShape`, in the dialect of its family.

Nothing is guessed: a missing key, an unknown key or an unknown family is a `ConfigError` that names it. With
`strict=False` unknown keys are put aside and an unknown family is read as the closest one, each said in the shape's
`.assumptions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from roofline.describe.checkpoint import checkpoint_formats
from roofline.describe.dialects.decoder import decoder_layers
from roofline.describe.dialects.dialect import Dialect, Reading
from roofline.describe.dialects.harmless import nearest_known, unknown_keys
from roofline.describe.dialects.keys import LARGEST_CONTEXT, Keys, described, printable
from roofline.describe.dialects.table import BY_TYPE
from roofline.describe.model import ModelShape
from roofline.describe.parts import Vector
from roofline.errors import ConfigError, nearest_names

_NESTED = ("text_config", "language_config", "llm_config")


def read_config(
    config: Mapping[str, Any],
    *,
    name: str | None = None,
    source: str = "config",
    strict: bool = True,
    dialects: Mapping[str, Dialect] = BY_TYPE,
) -> ModelShape:
    """The shape that a config describes; `name` it and say its `source` where the config does not.

    `dialects` maps every known `model_type` to the dialect of its family.
    """
    where = name or "config"
    if not isinstance(config, Mapping) or not all(isinstance(key, str) for key in config):
        raise ConfigError(where, given=type(config).__name__, expected="an object with string keys")
    dialect, doubts = _dialect(config, where, dialects, strict=strict)
    keys = Keys({**{key: config[key] for key in _INHERITED if key in config}, **_text(config)}, where)
    reading = Reading(keys, dialect, strict=strict)
    reading.assumptions.extend(doubts)
    try:
        return _shape(reading, config, name=name, source=source)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{where}: {field or 'sizes'}", given=described(first.get("input")), expected=str(first["msg"])
        ) from None


_INHERITED = ("tie_word_embeddings", "quantization_config", "compression_config", "quantization")


def _text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that holds the text model: the config itself, or a part of it."""
    return next((config[nested] for nested in _NESTED if isinstance(config.get(nested), Mapping)), config)


def _dialect(
    config: Mapping[str, Any], where: str, dialects: Mapping[str, Dialect], *, strict: bool
) -> tuple[Dialect, list[str]]:
    """The dialect of a config, the outer type before the inner one; or the closest and a doubt, if that is allowed."""
    text = _text(config)
    for stated in (config.get("model_type"), text.get("model_type")):
        if isinstance(stated, str) and stated in dialects:
            return dialects[stated], []
    stated = text.get("model_type", config.get("model_type"))
    if stated is None:
        raise ConfigError(f"{where}: model_type", given="nothing", expected="a value: the key is required")
    near = _closest_type(stated, text, dialects)
    if isinstance(stated, str) and near and not strict:
        doubt = f"the family {printable(stated)} is not known and was read as {dialects[near].family}"
        return dialects[near], [f"{doubt}: the shape may be wrong"]
    families = len({dialect.family for dialect in dialects.values()})
    raise ConfigError(
        f"{where}: model_type",
        given=described(stated),
        expected=f"a family this library reads ({families} of them)",
        nearest=f"{near} ({dialects[near].family})" if near else None,
    )


_SIGNS = (
    ("kv_lora_rank", "deepseek_v3"),
    ("linear_num_value_heads", "qwen3_next"),
    ("hybrid_override_pattern", "nemotron_h"),
    ("mamba_d_state", "jamba"),
    ("state_size", "mamba2"),
    ("n_routed_experts", "glm4_moe"),
    ("num_local_experts", "mixtral"),
    ("num_experts", "qwen3_moe"),
    ("n_embd", "gpt2"),
    ("hidden_size", "llama"),
)
"""Keys that only certain kinds of models have, and the family that is usual for each."""


def _closest_type(stated: object, text: Mapping[str, Any], dialects: Mapping[str, Dialect]) -> str | None:
    """The known `model_type` that resembles an unknown one by name, else by the keys of its config."""
    named = nearest_names(stated[:100], dialects, 1) if isinstance(stated, str) else []
    return next(
        (name for name in (*named, *(usual for key, usual in _SIGNS if text.get(key))) if name in dialects), None
    )


def _shape(reading: Reading, config: Mapping[str, Any], *, name: str | None, source: str) -> ModelShape:
    keys, dialect = reading.keys, reading.dialect
    layers = dialect.layers(reading) if dialect.layers else decoder_layers(reading)
    outside = dict(dialect.outside(reading)) if dialect.outside else {}
    extra: tuple[Vector, ...] = outside.pop("extra", ())
    if outside.pop("final_norm", dialect.final_norm):
        vectors = 2 if reading.on(dialect.norm_bias) else 1
        extra = (Vector(name="final_norm", elements=vectors * reading.hidden), *extra)
    fields: dict[str, Any] = {
        "name": name or _own_name(config),
        "hidden": reading.hidden,
        "vocab": reading.size("vocab"),
        "layers": tuple(layers),
        "tied": keys.flag(keys.given(*reading.names("tied")) or reading.names("tied")[0], dialect.tied),
        "max_context": keys.optional_size(*reading.names("context"), most=LARGEST_CONTEXT),
        "head_bias": reading.on(dialect.head_bias),
        "extra": extra,
        "source": source,
        **outside,
    }
    shape = ModelShape(**fields)
    checkpoint, notes = checkpoint_formats(keys, len(layers), _weights_by_kind(shape))
    _refuse_unknown(reading)
    return ModelShape(**fields, checkpoint=checkpoint, assumptions=(*notes, *reading.assumptions))


def _weights_by_kind(shape: ModelShape) -> dict[str, int]:
    counts = shape.parameters()
    return {
        "attention": counts.attention,
        "mixer": counts.linear_mixer,
        "dense": counts.dense_ffn,
        "shared": counts.shared_experts,
        "experts": counts.experts,
    }


def _own_name(config: Mapping[str, Any]) -> str:
    """What a config calls itself: where it was loaded from, else its family."""
    for key in ("_name_or_path", "model_type"):
        stated = config.get(key)
        if isinstance(stated, str) and stated:
            return printable(stated)
    return "config"


def _refuse_unknown(reading: Reading) -> None:
    unknown = unknown_keys(reading.keys, reading.dialect.harmless)
    if not unknown:
        return
    first = unknown[0]
    if reading.strict:
        raise reading.keys.error(
            first,
            reading.keys.data[first],
            f"a key of the {reading.dialect.family} family: what this one means is not known",
            nearest_known(first, reading.keys),
        )
    reading.assumptions.extend(
        f"{printable(key)} = {described(reading.keys.data[key])} is not known in the {reading.dialect.family} family "
        "and was put aside: the shape may be wrong"
        for key in unknown
    )
