"""What a part reaches on each class of operation: its own fitted figures, its class's, the caller's, or the ideal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from roofline.describe.catalog import calibration, part_class, read_efficiency
from roofline.describe.efficiency import CollectiveFit, Efficiency, KernelFit
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.errors import InvalidInput, SpecError
from roofline.estimate.work import Operation, Transfer


@dataclass(frozen=True)
class Rates:
    """Fitted figures for the operations of one part, and where each was found."""

    accelerator: HbmAccelerator | SramAccelerator
    sources: tuple[Efficiency, ...]
    """The part's own figures, if any, before its class's."""
    peaks: Mapping[str, str]
    """Which of the part's peaks bounds each compute format."""
    _kernels: dict[tuple[str, str, str], tuple[str, KernelFit]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

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
        default = part_class(accelerator.kind).efficiency
        if isinstance(efficiency, Efficiency):
            return cls(accelerator, (efficiency, default), peaks)
        if efficiency == "calibrated":
            own = calibration(accelerator.calibration) if accelerator.calibration else None
            return cls(accelerator, (own, default) if own else (default,), peaks)
        if isinstance(efficiency, Path) or (
            isinstance(efficiency, str) and ("/" in efficiency or efficiency.endswith(".toml"))
        ):
            return cls(accelerator, (read_efficiency(Path(efficiency)), default), peaks)
        expected = '"calibrated", "ideal", a path to a calibration file or an Efficiency'
        raise InvalidInput("efficiency", given=efficiency, expected=expected)

    def of_operation(self, operation: Operation) -> tuple[str, KernelFit]:
        """The peak that bounds an operation, and what is reached of it."""
        key = (operation.kernel_class, operation.stored, operation.computed)
        found = self._kernels.get(key)
        if found is None:
            found = self._kernels[key] = (self._peak(operation), self._kernel_fit(operation))
        return found

    def of_transfer(self, transfer: Transfer) -> CollectiveFit:
        """What is reached of the wires by a collective."""
        collective = "all_to_all" if transfer.collective == "all_to_all" else "all_reduce"
        for source in self.sources:
            if collective in source.collectives:
                return source.collectives[collective]
        raise self._missing(f"collectives.{collective}")

    def _peak(self, operation: Operation) -> str:
        """Elementwise work has no peak of its own; it computes next to nothing, so any will do."""
        return self.peaks.get(operation.computed) or next(iter(self.accelerator.peak))

    def _kernel_fit(self, operation: Operation) -> KernelFit:
        for source in self.sources:
            fit = source.kernel(operation.kernel_class, operation.stored, operation.computed)
            if fit is not None:
                return fit
        raise self._missing(f"kernels.{operation.kernel_class}")

    def _missing(self, table: str) -> SpecError:
        where = f"efficiency of {self.accelerator.name}"
        return SpecError(
            where, given=f"no table {table}", expected="one in the calibration of the part or of its class"
        )

    def assumptions(self) -> list[str]:
        """What is borrowed from the class because the part has no fitted figures of its own, in one sentence."""
        if len(self.sources) == 1 and self.sources[0].name != "ideal":
            return [f"{self.accelerator.name} has no measured kernels: efficiencies of {self.sources[0].name}"]
        borrowed = [
            f"{kernel_class} {stored if stored == computed else f'{stored}-{computed}'}"
            for kernel_class, stored, computed in sorted(self._kernels)
            if self.sources[0].kernel(kernel_class, stored, computed) is None  # type: ignore[arg-type]
        ]
        if not borrowed:
            return []
        return [f"no kernels measured on {self.accelerator.name} for {', '.join(borrowed)}: {self.sources[-1].name}"]
