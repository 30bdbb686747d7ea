"""Systems that serve, as they are typed: pools for both phases, for one, for halves of the layers, and with drafts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from roofline.describe.link import Link
from roofline.describe.model import ModelShape
from roofline.describe.model_catalog import load_model
from roofline.errors import InvalidInput, MissingNumber, RooflineError
from roofline.estimate.attention_ffn import AttentionFfn
from roofline.estimate.deployment import Deployment
from roofline.estimate.disaggregation import PrefillDecode
from roofline.estimate.speculative import Speculative
from roofline.show.numbers import number
from roofline.show.pools import RANKS, InPool, Pool

MTP = "mtp"
"""What `--draft` takes for one more layer of the model itself."""
DRAFTING = " + draft"
"""What is added to the name of a way of serving that drafts."""
_LINK = 'it, such as "400 Gbit/s,2us", or the name of a cited link, such as groq-lpu-v1.node'


@dataclass(frozen=True)
class Typed:
    """A system, what way of serving it is, and how its pools were typed."""

    mode: str
    pools: tuple[str, ...]
    system: Any
    formats: tuple[str, ...]
    """Of each pool, which are in the order of `Service.pools`."""

    @property
    def text(self) -> str:
        """The pools as they were typed."""
        return " + ".join(self.pools)


@dataclass(frozen=True)
class Draft:
    """A draft as it is typed; `model` None is a layer of the target's own, `pool` None the target's devices."""

    model: ModelShape | None
    length: int
    acceptance: float
    pool: Pool | None

    @classmethod
    def parse(cls, model: str | None, length: str | None, acceptance: str | None, pool: str | None) -> Draft | None:
        """From the options of a command; None where no draft is asked for."""
        if model is None:
            for option, value in (("--draft-length", length), ("--acceptance", acceptance), ("--draft-on", pool)):
                if value is not None:
                    raise InvalidInput(option, given=value, expected="it beside --draft MODEL")
            return None
        if acceptance is None:
            expected = "the probability that a drafted token is accepted, such as 0.8: it has to be measured"
            raise InvalidInput("--acceptance", given="nothing", expected=expected)
        if model == MTP and pool is not None:
            raise InvalidInput("--draft-on", given=pool, expected="none: mtp runs on the model's own devices")
        drafted = number("draft length", length) if length is not None else 1.0 if model == MTP else 4.0
        if drafted != int(drafted):
            raise InvalidInput("draft length", given=length, expected="a whole number of tokens")
        accepted = number("acceptance", acceptance, least=0, most=1)
        return cls(
            None if model == MTP else load_model(model),
            int(drafted),
            accepted,
            None if pool is None else Pool.parse(pool),
        )

    def before(self, target: Deployment, pool: Pool, link: str | None, quantization: str | None) -> Speculative:
        """The target on its pool with this draft before it."""
        if self.model is None:
            return Speculative.mtp(target, self.acceptance, self.length)
        if self.pool is None:
            options = {key: value for key, value in pool.options.items() if key not in RANKS}
            own = Pool(pool.text, pool.name, pool.accelerator, pool.devices, options)
            draft = own.deployment(self.model, quantization)
            return Speculative(target, draft, self.length, self.acceptance, shared=True)
        draft = self.pool.deployment(self.model, quantization)
        return Speculative(target, draft, self.length, self.acceptance, link=link)


@dataclass(frozen=True)
class Asked:
    """Pools by what they are to do, a link between them, and a draft."""

    on: Sequence[str]
    prefill: Sequence[str]
    decode: Sequence[str]
    attention: Sequence[str]
    ffn: Sequence[str]
    link: str | None
    draft: Draft | None

    def systems(self, model: ModelShape, quantization: str | None) -> list[Typed]:
        """Every way of serving that the pools make; with a draft each is there once more, drafting.

        `InvalidInput` where a pool lacks its other half, or nothing was given.
        """
        self._check()
        try:
            return self._made(model, quantization)
        except MissingNumber:
            raise InvalidInput(
                "--link",
                given=self.link,
                expected='bandwidth and latency, "400 Gbit/s,2us": no latency of that link is published',
            ) from None

    def _made(self, model: ModelShape, quantization: str | None) -> list[Typed]:
        pools = {text: Pool.parse(text) for text in (*self.on, *self.prefill, *self.decode, *self.attention, *self.ffn)}
        laid = {text: pool.deployment(model, quantization) for text, pool in pools.items()}

        label = {text: deployment.quantization.label for text, deployment in laid.items()}

        def decoders(text: str) -> Iterator[tuple[str, tuple[str, ...], Any, tuple[str, ...]]]:
            yield "", (text,), laid[text], (label[text],)
            if self.draft is not None:
                drafting = self._drafting(self.draft, laid[text], pools[text], quantization)
                own = self.draft.pool
                typed = (text,) if own is None else (text, own.text)
                formats = (label[text],) if own is None else (label[text], drafting.draft.quantization.label)
                yield DRAFTING, typed, drafting, formats

        out = []
        for text in self.on:
            for drafts, typed, system, formats in decoders(text):
                out.append(Typed(f"colocated{drafts}", typed, system, formats))
        for first, text in product(self.prefill, self.decode):
            for drafts, typed, system, formats in decoders(text):
                split = PrefillDecode(laid[first], system, str(self.link))
                out.append(Typed(f"prefill/decode{drafts}", (first, *typed), split, (label[first], *formats)))
        for one, other in product(self.attention, self.ffn):
            half, formats = AttentionFfn(laid[one], laid[other], str(self.link)), (label[one], label[other])
            if not self.prefill or self.decode:
                out.append(Typed("attention/ffn", (one, other), half, formats))
                continue
            for first in self.prefill:
                split = PrefillDecode(laid[first], half, str(self.link))
                out.append(Typed("prefill/attention/ffn", (first, one, other), split, (label[first], *formats)))
        return list({(each.mode, each.pools): each for each in out}.values())

    def _drafting(self, draft: Draft, target: Deployment, pool: Pool, quantization: str | None) -> Speculative:
        try:
            return draft.before(target, pool, self.link, quantization)
        except InPool:
            raise
        except RooflineError as error:
            raise InPool(pool.text, error) from None

    def _check(self) -> None:
        if not any((self.on, self.prefill, self.decode, self.attention, self.ffn)):
            ways = "--on POOL, --prefill POOL --decode POOL, or --attention POOL --ffn POOL"
            raise InvalidInput("serve", given="no pool", expected=ways)
        pairs = (
            ("--decode", self.decode, "--prefill", self.prefill),
            ("--attention", self.attention, "--ffn", self.ffn),
            ("--ffn", self.ffn, "--attention", self.attention),
        )
        for option, given, other, needed in pairs:
            if given and not needed:
                raise InvalidInput(other, given="nothing", expected=f"a pool: {option} needs it")
        if self.prefill and not (self.decode or self.attention):
            expected = "a pool: --prefill needs it, or --attention and --ffn"
            raise InvalidInput("--decode", given="nothing", expected=expected)
        if self.link is None and (self.prefill or self.attention):
            raise InvalidInput("--link", given="nothing", expected=_LINK)
        drafts_apart = self.draft is not None and self.draft.pool is not None
        if self.link is not None and not (self.prefill or self.attention or drafts_apart):
            raise InvalidInput("--link", given=self.link, expected="none: no pools were given for it to join")
        if self.draft is not None and not (self.on or self.decode):
            raise InvalidInput("--draft", given="no pool to verify on", expected="--on POOL, or --decode POOL")
        if self.link is not None and "," in self.link:
            Link.of(self.link)
