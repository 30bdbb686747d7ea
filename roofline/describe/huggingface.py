"""Reads a Hugging Face config.json as a `ModelShape`, in the dialect of its family.

Nothing is guessed: a missing key, an unknown key or an unknown family is a `ConfigError` that names it. With
`strict=False` unknown keys are put aside and said so in the shape's `.assumptions`.
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
    dialect, text = _dialect(config, where, dialects)
    keys = Keys({**{key: config[key] for key in _INHERITED if key in config}, **text}, where)
    reading = Reading(keys, dialect, strict=strict)
    try:
        return _shape(reading, config, name=name, source=source)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{where}: {field or 'sizes'}", given=described(first.get("input")), expected=str(first["msg"])
        ) from None


_INHERITED = ("tie_word_embeddings", "quantization_config", "compression_config", "quantization")


def _dialect(
    config: Mapping[str, Any], where: str, dialects: Mapping[str, Dialect]
) -> tuple[Dialect, Mapping[str, Any]]:
    """The dialect of a config and the object that holds its text model: the outer type decides before the inner one."""
    text: Mapping[str, Any] = config
    for nested in _NESTED:
        if isinstance(config.get(nested), Mapping):
            text = config[nested]
            break
    for stated in (config.get("model_type"), text.get("model_type")):
        if isinstance(stated, str) and stated in dialects:
            return dialects[stated], text
    stated = text.get("model_type", config.get("model_type"))
    if stated is None:
        raise ConfigError(f"{where}: model_type", given="nothing", expected="a value: the key is required")
    near = nearest_names(stated[:100], dialects) if isinstance(stated, str) else []
    families = len({dialect.family for dialect in dialects.values()})
    expected = f"a family this library reads ({families} of them)"
    raise ConfigError(
        f"{where}: model_type",
        given=described(stated),
        expected=expected,
        nearest=f"{near[0]} ({dialects[near[0]].family})" if near else None,
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
