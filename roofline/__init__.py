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
    from roofline.describe.link import Link as Link
    from roofline.describe.model import ModelShape as ModelShape
    from roofline.describe.model_catalog import load_model as model
    from roofline.describe.model_catalog import model_names as models
    from roofline.describe.runtimes import runtime as runtime
    from roofline.describe.runtimes import runtimes as runtimes
    from roofline.describe.systems import system as system
    from roofline.describe.systems import systems as systems
    from roofline.describe.workload import Slo as Slo
    from roofline.describe.workload import Traffic as Traffic
    from roofline.errors import ConfigError as ConfigError
    from roofline.errors import DoesNotFit as DoesNotFit
    from roofline.errors import InvalidInput as InvalidInput
    from roofline.errors import LayoutError as LayoutError
    from roofline.errors import MissingNumber as MissingNumber
    from roofline.errors import RooflineError as RooflineError
    from roofline.errors import SpecError as SpecError
    from roofline.errors import UnknownName as UnknownName
    from roofline.errors import UnsupportedFormat as UnsupportedFormat
    from roofline.estimate.attention_ffn import AttentionFfn as AttentionFfn
    from roofline.estimate.balance import Balance as Balance
    from roofline.estimate.balance import balance as balance
    from roofline.estimate.capacity import Capacity as Capacity
    from roofline.estimate.deployment import Deployment as Deployment
    from roofline.estimate.disaggregation import PrefillDecode as PrefillDecode
    from roofline.estimate.economics import Ownership as Ownership
    from roofline.estimate.estimate import Estimate as Estimate
    from roofline.estimate.layout import Layout as Layout
    from roofline.estimate.service import Service as Service
    from roofline.estimate.serving import serve as serve
    from roofline.estimate.speculative import Speculative as Speculative
    from roofline.estimate.times import Times as Times
    from roofline.explore.crossovers import Crossover as Crossover
    from roofline.explore.crossovers import crossover as crossover
    from roofline.explore.crossovers import largest_batch_within as largest_batch_within
    from roofline.explore.every_crossover import crossovers as crossovers
    from roofline.explore.grid import Grid as Grid
    from roofline.explore.pareto import pareto as pareto
    from roofline.explore.plan import plan as plan
    from roofline.explore.sensitivity import sensitivity as sensitivity
    from roofline.explore.sweep import sweep as sweep
    from roofline.explore.symbolic import closed_form as closed_form
    from roofline.trust.calibrating import calibrate as calibrate
    from roofline.trust.cross_checks import cross_check as cross_check
    from roofline.trust.validation import validate as validate

_HOMES = {
    "Accelerator": "describe.hardware",
    "AttentionFfn": "estimate.attention_ffn",
    "Balance": "estimate.balance",
    "Capacity": "estimate.capacity",
    "ConfigError": "errors",
    "Crossover": "explore.crossovers",
    "Deployment": "estimate.deployment",
    "DoesNotFit": "errors",
    "Efficiency": "describe.efficiency",
    "Estimate": "estimate.estimate",
    "Grid": "explore.grid",
    "HbmAccelerator": "describe.hardware",
    "InvalidInput": "errors",
    "Layout": "estimate.layout",
    "LayoutError": "errors",
    "Link": "describe.link",
    "MissingNumber": "errors",
    "ModelShape": "describe.model",
    "Ownership": "estimate.economics",
    "PrefillDecode": "estimate.disaggregation",
    "Quantization": "describe.formats",
    "RooflineError": "errors",
    "Service": "estimate.service",
    "Slo": "describe.workload",
    "SpecError": "errors",
    "Speculative": "estimate.speculative",
    "SramAccelerator": "describe.hardware",
    "Times": "estimate.times",
    "Traffic": "describe.workload",
    "UnknownName": "errors",
    "UnsupportedFormat": "errors",
    "accelerator": "describe.catalog",
    "accelerators": "describe.catalog",
    "balance": "estimate.balance",
    "calibrate": "trust.calibrating",
    "closed_form": "explore.symbolic",
    "cross_check": "trust.cross_checks",
    "crossover": "explore.crossovers",
    "crossovers": "explore.every_crossover",
    "largest_batch_within": "explore.crossovers",
    "model": "describe.model_catalog:load_model",
    "models": "describe.model_catalog:model_names",
    "pareto": "explore.pareto",
    "plan": "explore.plan",
    "runtime": "describe.runtimes",
    "runtimes": "describe.runtimes",
    "sensitivity": "explore.sensitivity",
    "serve": "estimate.serving",
    "sweep": "explore.sweep",
    "system": "describe.systems",
    "systems": "describe.systems",
    "validate": "trust.validation",
}
"""Where each public name lives, and under which name if not its own."""

__all__ = [
    "Accelerator",
    "AttentionFfn",
    "Balance",
    "Capacity",
    "ConfigError",
    "Crossover",
    "Deployment",
    "DoesNotFit",
    "Efficiency",
    "Estimate",
    "Grid",
    "HbmAccelerator",
    "InvalidInput",
    "Layout",
    "LayoutError",
    "Link",
    "MissingNumber",
    "ModelShape",
    "Ownership",
    "PrefillDecode",
    "Quantization",
    "RooflineError",
    "Service",
    "Slo",
    "SpecError",
    "Speculative",
    "SramAccelerator",
    "Times",
    "Traffic",
    "UnknownName",
    "UnsupportedFormat",
    "accelerator",
    "accelerators",
    "balance",
    "calibrate",
    "closed_form",
    "cross_check",
    "crossover",
    "crossovers",
    "largest_batch_within",
    "model",
    "models",
    "pareto",
    "plan",
    "runtime",
    "runtimes",
    "sensitivity",
    "serve",
    "sweep",
    "system",
    "systems",
    "validate",
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
