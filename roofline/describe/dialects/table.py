"""The table of dialects: every family this library reads, found by its `model_type`."""

from __future__ import annotations

from roofline.describe.dialects import (
    classic,
    compression,
    google,
    irregular,
    kimi,
    latent,
    llama_like,
    mixtures,
    state,
)
from roofline.describe.dialects.dialect import Dialect

DIALECTS: tuple[Dialect, ...] = (
    *llama_like.DIALECTS,
    *mixtures.DIALECTS,
    *latent.DIALECTS,
    *compression.DIALECTS,
    *state.DIALECTS,
    *kimi.DIALECTS,
    *google.DIALECTS,
    *irregular.DIALECTS,
    *classic.DIALECTS,
)
BY_TYPE: dict[str, Dialect] = {name: dialect for dialect in DIALECTS for name in dialect.types}
"""The dialect of each `model_type`."""
