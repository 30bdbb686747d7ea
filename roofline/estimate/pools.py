"""What two pools of one system must agree on: the link between them, and the model they hold."""

from __future__ import annotations

from roofline.describe.link import Link
from roofline.describe.model import ModelShape
from roofline.errors import InvalidInput
from roofline.estimate.deployment import Deployment


def linked(link: Link | str, near: Deployment) -> Link:
    """A link as it is, in text, or by the name of one that a deployment's part has."""
    if isinstance(link, str) and link.strip() in near.accelerator.link:
        return Link.cited(near.accelerator, link.strip())
    return Link.of(link)


def deployed(what: str, pool: object) -> None:
    """`InvalidInput` where a pool is anything but a `Deployment`."""
    if not isinstance(pool, Deployment):
        raise InvalidInput(what, given=type(pool).__name__, expected="a Deployment")


def same_model(what: str, model: ModelShape, other: ModelShape) -> None:
    """`InvalidInput` where two pools hold different models; how their weights are stored may differ."""
    if (model.hidden, model.vocab, model.layers) != (other.hidden, other.vocab, other.layers):
        raise InvalidInput(f"model of {what}", given=model.name, expected=f"{other.name}, as in the other pool")
