"""What a part reaches on each class of operation: its own fitted figures, its class's, the caller's, or the ideal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from roofline.describe.catalog import accelerator as described
from roofline.describe.catalog import accelerators, calibration, part_class, read_efficiency
from roofline.describe.efficiency import HOST_CLASSES, CollectiveClass, CollectiveFit, Efficiency, KernelFit
from roofline.describe.formats import width
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.runtimes import Fused, Runtime, slower_in_service
from roofline.errors import InvalidInput, SpecError
from roofline.estimate.sustained import as_sustained, said
from roofline.estimate.work import Operation, Transfer


@dataclass(frozen=True)
class Rates:
    """Fitted figures for the operations of one part, and where each was found."""

    accelerator: HbmAccelerator | SramAccelerator
    sources: tuple[Efficiency, ...]
    """The serving stack's figures, if one is named, before the part's own, if any, before its class's."""
    peaks: Mapping[str, str]
    """Which of the part's peaks bounds each compute format."""
    runtime: Runtime | None = None
    """The serving stack whose host costs are counted."""
    given: bool = False
    """Whether the first source without the stack's is a caller's, whose kernels go before those of the stack."""
    sums: str = "fp32"
    """The format in which kernels sum products of 16 bits."""
    _kernels: dict[tuple[str, str, str], tuple[str, KernelFit]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _collectives: dict[CollectiveClass, CollectiveFit] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _asked: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        accelerator: HbmAccelerator | SramAccelerator,
        efficiency: str | Path | Efficiency,
        peaks: Mapping[str, str],
    ) -> Rates:
        """From `"calibrated"`, `"ideal"`, a path to a calibration file, or an `Efficiency`."""
        if efficiency == "ideal":
            return cls(accelerator, (Efficiency.ideal(),), peaks)
        default = as_sustained(part_class(accelerator.kind).efficiency, accelerator)
        if isinstance(efficiency, Efficiency):
            return cls(accelerator, (efficiency, default), peaks, given=True)
        if efficiency == "calibrated":
            own = calibration(accelerator.calibration) if accelerator.calibration else None
            return cls(accelerator, (own, default) if own else (default,), peaks)
        if isinstance(efficiency, Path) or (
            isinstance(efficiency, str) and ("/" in efficiency or efficiency.endswith(".toml"))
        ):
            return cls(accelerator, (read_efficiency(Path(efficiency)), default), peaks, given=True)
        expected = '"calibrated", "ideal", a path to a calibration file or an Efficiency'
        raise InvalidInput("efficiency", given=efficiency, expected=expected)

    def under(self, runtime: Runtime | None) -> Rates:
        """The same under a serving stack: its host costs, and before all others but a caller's the kernels it runs."""
        if runtime is None:
            return replace(self, runtime=None, sources=self.own, sums="fp32")
        runtime = runtime.on(self.accelerator.vendor)
        figures = as_sustained(runtime.efficiency, self.accelerator)
        measured = self.own[0].kernels.keys() - set(HOST_CLASSES) if self.given else set()
        kernels = {name: fits for name, fits in figures.kernels.items() if name not in measured}
        sources = (figures.model_copy(update={"kernels": kernels}), *self.own)
        return replace(self, runtime=runtime, sources=sources, sums=runtime.sums)

    @property
    def fused(self) -> tuple[Fused, ...]:
        """What the serving stack launches with another kernel."""
        return () if self.runtime is None else self.runtime.fused_on(self.accelerator.name)

    @property
    def ideal(self) -> Rates:
        """The same part with nothing lost, at the sums of the stack."""
        return replace(Rates.of(self.accelerator, "ideal", self.peaks), sums=self.sums)

    @property
    def nothing_lost(self) -> bool:
        """Whether every operation runs at peak rates: `"ideal"` and nothing else."""
        return [source.name for source in self.sources] == ["ideal"]

    @property
    def own(self) -> tuple[Efficiency, ...]:
        """The sources without the serving stack's."""
        return self.sources if self.runtime is None else self.sources[1:]

    @property
    def slower(self) -> float:
        """Times as long as its class that kernels take on this part, of whose vendor none are fitted, wires apart [1].

        Under a serving stack as its service tells; without one, as that of today's stacks does in the median.
        """
        if len(self.own) > 1 or self.own[0].name == "ideal":
            return 1.0
        vendor = self.accelerator.vendor
        return slower_in_service(vendor) if self.runtime is None else self.runtime.slower.get(vendor, 1.0)

    @property
    def hosted(self) -> bool:
        """Whether costs of a host are counted: a serving stack's, or those of a calibration that has some."""
        measured = (source for source in self.sources if source.name != "ideal")
        return any(not source.kernels.keys().isdisjoint(HOST_CLASSES) for source in measured)

    @property
    def request(self) -> float:
        """Seconds that a request waits in the host before its first token, no device with it [s]."""
        known = (source.kernels.get("host_request", {}).get("any") for source in self.sources)
        return next((fit.overhead for fit in known if fit is not None), 0.0)

    def of_operation(self, operation: Operation) -> tuple[str, KernelFit]:
        """The peak that bounds an operation, and what is reached of it."""
        key = (operation.kernel_class, operation.stored, operation.computed)
        found = self._kernels.get(key)
        if found is None:
            found = self._kernels[key] = (self._peak(operation), self._kernel_fit(operation))
        return found

    def of_transfer(self, transfer: Transfer) -> CollectiveFit:
        """What is reached of the wires by a collective; a crossing that its fit has not is that of the class."""
        name: CollectiveClass = "all_to_all" if transfer.collective == "all_to_all" else "all_reduce"
        self._asked.add(transfer.collective)
        found = self._collectives.get(name)
        if found is None:
            found = self._collectives[name] = self._collective_fit(name)
        return found

    def _collective_fit(self, name: CollectiveClass) -> CollectiveFit:
        under_stack, lent = [fit for _, fit in self._under_stack(name)], self._lent(name)
        whatever_stack = [source.collectives[name] for source in self.sources if name in source.collectives]
        crossings = (fit.crossing for fit in (*under_stack, *whatever_stack) if fit.crossing is not None)
        small = () if lent is None else ("overhead", "points", "error", "low", "high", "source")
        update = {"crossing": next(crossings, None), **{key: getattr(lent, key) for key in small}}
        return under_stack[0].model_copy(update=update)

    def _under_stack(self, name: CollectiveClass) -> list[tuple[Efficiency, CollectiveFit]]:
        """The sources that have a class of collectives, and what each has of it as the stack brings it."""
        stack = "" if self.runtime is None else self.runtime.today
        found = [(source, fit) for source in self.sources if (fit := source.collective(name, stack)) is not None]
        if not found:
            raise self._missing(f"collectives.{name}")
        return found

    def _lent(self, name: CollectiveClass) -> CollectiveFit | None:
        """The fit of the stack whose small all-reduces are launched in place of the stack's own, where it is."""
        if self.runtime is None or not self.runtime.borrows_sums(self.accelerator.name):
            return None
        first, _ = self._under_stack(name)[0]
        return first.stacks.get(self.runtime.reduces_as, {}).get(name)

    def _peak(self, operation: Operation) -> str:
        """Elementwise work has no peak of its own; it computes next to nothing, so any will do."""
        return self.peaks.get(operation.computed) or next(iter(self.accelerator.peak))

    def _kernel_fit(self, operation: Operation) -> KernelFit:
        if self._reads_wide(operation.kernel_class, operation.stored, operation.computed):
            wide = self._kernel_fit(operation._replace(stored=operation.computed))
            narrower = float(width(operation.stored) / width(operation.computed))
            return wide.model_copy(update={"memory": wide.memory * narrower})
        for source in self.sources:
            fit = source.kernel(operation.kernel_class, operation.stored, operation.computed)
            if fit is not None:
                measured = self.given and source is self.own[0]  # by whoever sums as the stack does
                times = 1.0 if measured else self.faster(operation)
                return self._served(operation, fit.model_copy(update={"compute": fit.compute * times}))
        if operation.kernel_class in HOST_CLASSES:  # a calibration need not have them all
            return _NO_COST
        raise self._missing(f"kernels.{operation.kernel_class}")

    def _served(self, operation: Operation, fit: KernelFit) -> KernelFit:
        """A fit as kernels are under the serving stack."""
        if operation.kernel_class in HOST_CLASSES:
            return fit
        if self.slower != 1:
            fit = _slower_kernels(fit, self.slower)
        if self.runtime is None:
            return fit
        if self.unscaled(operation):
            fit = _slower_kernels(fit, self.runtime.unscaled)
        if self.scaled_experts(operation):
            times = self.runtime.scaled_experts
            # Memory delivers no more than its bandwidth, whatever was measured.
            reached = {"overhead": fit.overhead * times, "memory": min(1.0, fit.memory / times)}
            fit = fit.model_copy(update=reached)
        return fit

    def faster(self, operation: Operation) -> float:
        """Times its printed peak that the part has for an operation: for sums in 32 bits it is printed [1]."""
        return self.at_best(operation) if self.sums == "fp16" else 1.0

    def at_best(self, operation: Operation) -> float:
        """The same with sums in whatever format the part is fastest at, whatever the stack sums in [1]."""
        product = operation.kernel_class in _PRODUCTS and operation.computed in ("bf16", "fp16")
        return self._sums_in_16_bits if product else 1.0

    @property
    def faster_sums(self) -> float:
        """Times the peak printed for 16 bits at which the part multiplies under the stack [1]."""
        return self._sums_in_16_bits if self.sums == "fp16" else 1.0

    @property
    def _sums_in_16_bits(self) -> float:
        fact = self.accelerator.facts.get("fp16_accumulate_fp16")
        printed = self.accelerator.peak.get("fp16") or self.accelerator.peak.get("bf16")
        return 1.0 if fact is None or printed is None else max(1.0, fact.value / printed.value)

    def unscaled(self, operation: Operation) -> bool:
        """Whether it is a product in block-wise fp8 whose sums kernels scale, as the part's products do not."""
        product = operation.kernel_class in _PRODUCTS
        return product and operation.stored == "fp8_block" and not self.accelerator.scales_blocks

    def scaled_experts(self, operation: Operation) -> bool:
        """Whether it is of experts in MXFP4, whose scales the part's products take."""
        return operation.kernel_class == "experts" and operation.stored == "mxfp4" and self.accelerator.scales_blocks

    def _reads_wide(self, kernel_class: str, stored: str, computed: str) -> bool:
        """Whether it is attention over a cache in fp8 that the stack reads no faster than one in 16 bits.

        That is known of heads of 128 (`Runtime.wide_caches_on`); others are taken to be read alike.
        """
        if self.runtime is None or (self.given and "attention_decode" in self.own[0].kernels):
            return False
        narrow = kernel_class == "attention_decode" and stored == "fp8" and computed in ("bf16", "fp16")
        return narrow and self.runtime.reads_wide_caches(self.accelerator.name)

    def _missing(self, table: str) -> SpecError:
        where = f"efficiency of {self.accelerator.name}"
        return SpecError(
            where, given=f"no table {table}", expected="one in the calibration of the part or of its class"
        )

    def assumptions(self) -> list[str]:
        """What is borrowed from the class because the part has no fitted figures of its own, and what a stack adds."""
        return [*self._borrowed(), *self._stack()]

    def _stack(self) -> list[str]:
        """What the serving stack's figures rest on, and how it sums where the part is faster for it."""
        if self.runtime is None:
            return []
        found = [self.runtime.sentence]
        if self.faster_sums != 1:
            found.append(f"products of 16 bits are summed in 16 bits: {self.faster_sums:.3g} × the printed peak")
        if "all_reduce" in self._asked and self._lent("all_reduce"):
            whose = f"small all-reduces of {self.runtime.reduces_as} on this part, norms with them"
            found.append(f"{self.runtime.name} launches the {whose}")
        if any(self._reads_wide(*key) for key in self._kernels):
            found.append(f"{self.runtime.name} reads a cache in fp8 no faster than one in 16 bits on this part")
        return found

    def _borrowed(self) -> list[str]:
        own = self.own
        if len(own) == 1 and own[0].name != "ideal":
            told = f"as service tells of {self.accelerator.vendor}'s parts"
            under = f"under {self.runtime.name}" if self.runtime else told
            how = "" if self.slower == 1 else f", × {self.slower:g} {under}"
            beside = (
                ""
                if self.runtime is None or not self.runtime.has_own_products
                else f" beside {self.runtime.name}'s own"
            )
            unmeasured = f"no kernels of {self.accelerator.name} are fitted: efficiencies of {own[0].name}{beside}{how}"
            return [unmeasured, *said(self._kernels, self.accelerator)]
        first, default = self.sources[0], self.sources[-1]
        stacked = [key for key in sorted(self._kernels) if self.runtime and first.kernel(*key)]  # type: ignore[arg-type]
        borrowed = [
            key
            for key in sorted(self._kernels)
            if key[0] not in HOST_CLASSES and all(source.kernel(*key) is None for source in self.sources[:-1] or own)  # type: ignore[arg-type]
        ]
        scaled = [*self._of_another_part(), *said([*stacked, *borrowed], self.accelerator)]
        if not borrowed:
            return scaled
        named = ", ".join(
            f"{name} {stored if stored == done else f'{stored}-{done}'}" for name, stored, done in borrowed
        )
        return [f"no kernels of {self.accelerator.name} are fitted for {named}: {default.name}", *scaled]

    def _of_another_part(self) -> list[str]:
        """A sentence where the figures that a caller gave are those of another part of the catalogue."""
        name, own = self.own[0].name, (self.accelerator.name, self.accelerator.calibration, "ideal")
        if name in own or name not in _catalogue():
            return []
        return [f"efficiencies of {name} are taken for {self.accelerator.name}"]


@cache
def _catalogue() -> frozenset[str]:
    """What parts are called: names of the catalogue, and those in their files."""
    return frozenset(name for key in accelerators() for name in (key, described(key).name))


_PRODUCTS = ("matmul", "experts")
_NO_COST = Efficiency.ideal().kernels["host_step"]["any"]


def _slower_kernels(fit: KernelFit, times: float) -> KernelFit:
    return fit.model_copy(
        update={"overhead": fit.overhead * times, "compute": fit.compute / times, "memory": fit.memory / times}
    )
