"""roofline: which silicon should run this language model, and what will a token cost?

    import roofline as rl

    gpu = rl.Deployment("llama-3.1-70b", "h100-sxm", devices=8, tp=8, quantization="fp8")
    print(gpu.decode(batch=32, context=4096))

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from roofline.describe.catalog import accelerator as accelerator
    from roofline.describe.catalog import accelerators as accelerators
    from roofline.describe.efficiency import Efficiency as Efficiency
    from roofline.describe.formats import Quantization as Quantization
    from roofline.describe.hardware import Accelerator as Accelerator
    from roofline.describe.hardware import HbmAccelerator as HbmAccelerator
    from roofline.describe.hardware import SramAccelerator as SramAccelerator
    from roofline.describe.model import ModelShape as ModelShape
    from roofline.describe.model_catalog import load_model as model
    from roofline.describe.model_catalog import model_names as models
    from roofline.errors import ConfigError as ConfigError
    from roofline.errors import DoesNotFit as DoesNotFit
    from roofline.errors import InvalidInput as InvalidInput
    from roofline.errors import LayoutError as LayoutError
    from roofline.errors import MissingNumber as MissingNumber
    from roofline.errors import RooflineError as RooflineError
    from roofline.errors import SpecError as SpecError
    from roofline.errors import UnknownName as UnknownName
    from roofline.errors import UnsupportedFormat as UnsupportedFormat
    from roofline.estimate.capacity import Capacity as Capacity
    from roofline.estimate.deployment import Deployment as Deployment
    from roofline.estimate.estimate import Estimate as Estimate
    from roofline.estimate.layout import Layout as Layout
    from roofline.estimate.timing import Times as Times
    from roofline.trust.calibration import calibrate as calibrate

_HOMES = {
    "Accelerator": "describe.hardware",
    "Capacity": "estimate.capacity",
    "ConfigError": "errors",
    "Deployment": "estimate.deployment",
    "DoesNotFit": "errors",
    "Efficiency": "describe.efficiency",
    "Estimate": "estimate.estimate",
    "HbmAccelerator": "describe.hardware",
    "InvalidInput": "errors",
    "Layout": "estimate.layout",
    "LayoutError": "errors",
    "MissingNumber": "errors",
    "ModelShape": "describe.model",
    "Quantization": "describe.formats",
    "RooflineError": "errors",
    "SpecError": "errors",
    "SramAccelerator": "describe.hardware",
    "Times": "estimate.timing",
    "UnknownName": "errors",
    "UnsupportedFormat": "errors",
    "accelerator": "describe.catalog",
    "accelerators": "describe.catalog",
    "calibrate": "trust.calibration",
    "model": "describe.model_catalog:load_model",
    "models": "describe.model_catalog:model_names",
}
"""Where each public name lives, and under which name if not its own."""

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
    "calibrate",
    "model",
    "models",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("roofline")
    if name not in _HOMES:
        raise AttributeError(f"module 'roofline' has no attribute {name!r}")
    home, _, own_name = _HOMES[name].partition(":")
    value = getattr(import_module(f"roofline.{home}"), own_name or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
