"""The table of dialects: every family this library reads, found by its `model_type`."""

from __future__ import annotations

from roofline.describe.dialects import (
    classic,
    compression,
    google,
    irregular,
    kimi,
    latent,
    linear,
    llama_like,
    mixtures,
    mixtures_own,
    state_space,
)
from roofline.describe.dialects.dialect import Dialect

DIALECTS: tuple[Dialect, ...] = (
    *llama_like.DIALECTS,
    *mixtures.DIALECTS,
    *mixtures_own.DIALECTS,
    *latent.DIALECTS,
    *compression.DIALECTS,
    *state_space.DIALECTS,
    *linear.DIALECTS,
    *kimi.DIALECTS,
    *google.DIALECTS,
    *irregular.DIALECTS,
    *classic.DIALECTS,
)
BY_TYPE: dict[str, Dialect] = {name: dialect for dialect in DIALECTS for name in dialect.types}
"""The dialect of each `model_type`."""
