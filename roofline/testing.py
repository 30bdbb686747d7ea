"""What tests of hardware assumptions are written with: laws asserted on a part, and hypothesis strategies.

`check_laws` needs nothing else; the strategies need hypothesis: `pip install hypothesis`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from roofline.trust.laws import assert_laws as check_laws

if TYPE_CHECKING:
    from roofline.trust.strategies import accelerators, model_shapes
    from roofline.trust.testing import deployments, traffics

__all__ = ["accelerators", "check_laws", "deployments", "model_shapes", "traffics"]

_HOMES = {"accelerators": "strategies", "deployments": "testing", "model_shapes": "strategies", "traffics": "testing"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'roofline.testing' has no attribute {name!r}")
    return getattr(import_module(f"roofline.trust.{_HOMES[name]}"), name)
