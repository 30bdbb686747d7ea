"""roofline: which silicon should run this language model, and what will a token cost?

import roofline as rl

gpu = rl.Deployment("llama-3.1-70b", "h100-sxm", devices=8, tp=8, quantization="fp8")
print(gpu.decode(batch=32, context=4096))
"""

from roofline.describe.catalog import accelerator, accelerators
from roofline.describe.efficiency import Efficiency
from roofline.describe.formats import Quantization
from roofline.describe.hardware import Accelerator, HbmAccelerator, SramAccelerator
from roofline.describe.model import ModelShape
from roofline.describe.model_catalog import load_model as model
from roofline.describe.model_catalog import model_names as models
from roofline.errors import (
    ConfigError,
    DoesNotFit,
    InvalidInput,
    LayoutError,
    MissingNumber,
    RooflineError,
    SpecError,
    UnknownName,
    UnsupportedFormat,
)
from roofline.estimate.capacity import Capacity
from roofline.estimate.deployment import Deployment
from roofline.estimate.estimate import Estimate
from roofline.estimate.layout import Layout
from roofline.estimate.timing import Times

__all__ = [
    "Accelerator",
    "Capacity",
    "ConfigError",
    "Deployment",
    "DoesNotFit",
    "Efficiency",
    "Estimate",
    "HbmAccelerator",
    "InvalidInput",
    "Layout",
    "LayoutError",
    "MissingNumber",
    "ModelShape",
    "Quantization",
    "RooflineError",
    "SpecError",
    "SramAccelerator",
    "Times",
    "UnknownName",
    "UnsupportedFormat",
    "accelerator",
    "accelerators",
    "model",
    "models",
]
