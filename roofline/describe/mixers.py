"""Every kind of mixer, and their union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from roofline.describe.attention import Attention, LatentAttention
from roofline.describe.compressed import CompressedAttention
from roofline.describe.linear_attention import GatedDeltaNet, KimiDeltaAttention, LightningAttention, ShortConvolution
from roofline.describe.mixer import Indexer, Mixer
from roofline.describe.state_space import GatedRecurrence, Mamba, Mamba2, ParallelMixers

__all__ = [
    "AnyMixer",
    "Attention",
    "CompressedAttention",
    "GatedDeltaNet",
    "GatedRecurrence",
    "Indexer",
    "KimiDeltaAttention",
    "LatentAttention",
    "LightningAttention",
    "Mamba",
    "Mamba2",
    "Mixer",
    "ParallelMixers",
    "ShortConvolution",
]

AnyMixer = Annotated[
    Attention
    | LatentAttention
    | CompressedAttention
    | Mamba
    | Mamba2
    | GatedDeltaNet
    | KimiDeltaAttention
    | LightningAttention
    | ShortConvolution
    | GatedRecurrence
    | ParallelMixers,
    Field(discriminator="kind"),
]
"""Any mixer, told apart by its `kind`."""
