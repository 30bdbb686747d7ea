"""Values on which an equation makes sense: few enough bits that products and sums of them are exact as floats.

The table goes by argument name and then by unit; one with conditions of its own is in `CONDITIONS` or `MENDED`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from roofline.equations.experts import busiest_rank_experts, fullest_rank_rows
from roofline.equations.serving import passes_per_prompt
from tests.support.registry import Equation

Values = dict[str, float]

counts = st.integers(2, 64).map(float)
"""Ranks, layers, heads and the like."""
many = st.integers(64, 4096).map(float)
"""Dimensions that are larger than the counts they are compared with."""
shares = st.integers(1, 15).map(lambda n: n / 16)
widths = st.sampled_from([0.5, 1.0, 2.0, 4.0])
amounts = st.builds(lambda n, k: n * 2.0**k, st.integers(1, 4096), st.integers(-4, 8))
"""Bytes, seconds, rates, money, energy."""

BY_NAME: dict[str, st.SearchStrategy[float]] = {
    "acceptance": st.integers(0, 15).map(lambda n: n / 16),
    "cached": st.integers(0, 4096).map(float),
    "combine_width": widths,
    "deviate": shares,
    "dispatch_width": widths,
    "experts": many,
    "fraction": shares,
    "further": shares,
    "input_width": widths,
    "interest": shares,
    "latent_dim": many,
    "length": st.integers(1, 8).map(float),
    "new": st.integers(1, 4096).map(float),
    "output_width": widths,
    "payload_share": shares,
    "pue": st.integers(16, 32).map(lambda n: n / 16),
    "rate": shares,
    "rope_width": widths,
    "scale_width": widths,
    "service": shares,
    "tokens": st.integers(1, 256).map(float),
    "top_k": st.integers(1, 16).map(float),
    "usable": shares,
    "utilisation": shares,
    "weight_width": widths,
    "width": widths,
    "window": st.integers(1, 4096).map(float),
    "years": st.integers(1, 30).map(float),
}

CONDITIONS: dict[str, Callable[[Values], bool]] = {
    # on a rank that touches all that it holds, or one, the root plays no part
    "experts.busiest_rank_experts": lambda v: 1 < busiest_rank_experts(**v) < v["held"],  # type: ignore[arg-type, operator]
    # where the law is too wide, or the fullest rank has all that tokens choose, the root plays no part
    "experts.fullest_rank_rows": lambda v: (
        4 * v["skew"] < 9 * v["held"] * v["deviate"] ** 2
        and fullest_rank_rows(**v) < min(v["top_k"], v["held"]) * v["experts"] / (v["top_k"] * v["held"])  # type: ignore[arg-type, operator]
    ),
    # two ranks never cross
    "collectives.one_shot_crossover": lambda v: v["ranks"] > 2,
    # the difference in the denominator is not allowed to be a rounding error
    "rooflines.fused_critical_batch": lambda v: (
        abs(v["flops_per_token"] * v["bandwidth"] / v["peak"] / v["kv_bytes_per_sequence"] - 1) > 1e-2
    ),
    "attention.materialisation_crossover": lambda v: 2 * v["latent_dim"] > v["nope_dim"] + v["value_dim"],
    "serving.steady_batch": lambda v: abs(v["rate"] * v["generated"] * v["growth"] - 1) > 1e-2,
    # where all passes are full, the power plays no part
    "serving.passes_per_prompt": lambda v: passes_per_prompt(**v) * v["most"] > 1,  # type: ignore[arg-type, operator]
    "serving.gated_spread": lambda v: abs(v["due"] * v["prefill"] / v["interval"] - 1) > 1e-2,
    "serving.shared_pass": lambda v: v["further"] <= v["one"],
    "disaggregation.exposed_transfer": lambda v: v["layers"] > 1,
    "disaggregation.transport_budget": lambda v: (
        abs((v["ffn_here"] - v["ffn_there"]) * v["bandwidth"] / v["size"] / 2 - 1) > 1e-2
    ),
    "cost.return_on_cost": lambda v: abs(v["revenue"] / v["cost"] - 1) > 1e-2,
    "energy.idle_break_even_step": lambda v: abs(v["hbm_energy_per_bit"] / v["sram_energy_per_bit"] - 1) > 1e-2,
    "pipelines.batch_for_stage": lambda v: abs(v["bandwidth"] * v["stage_time"] / v["weight_bytes"] - 1) > 1e-2,
}

MENDED: dict[str, Callable[[Values], Values]] = {
    "exchanges.nodes_reached": lambda v: _grouped(**v),
    "exchanges.fullest_rank_reached": lambda v: _crowded(**v),
}
"""Values made to fit each other where few that are drawn do."""


def _grouped(expert_groups: float, nodes: float, chosen_groups: float, copies: float) -> Values:
    """Nodes with whole groups on them, which have whole powers; of the groups some are chosen, or all."""
    groups = max(expert_groups // nodes, 1) * nodes if expert_groups > nodes else expert_groups
    return {"nodes": nodes, "copies": copies, "expert_groups": groups, "chosen_groups": min(chosen_groups, groups)}


def _crowded(ranks: float, crowded: float, expert_groups: float, chosen_groups: float, copies: float) -> Values:
    """No more crowded than all on one rank, and at least as many ranks as would be left as groups."""
    most = min(crowded, ranks)
    groups = max(1.0, min(expert_groups, ranks // most))
    chosen = min(chosen_groups, groups)
    return {"ranks": ranks, "copies": copies, "expert_groups": groups, "chosen_groups": chosen, "crowded": most}


def domain(equation: Equation) -> st.SearchStrategy[Values]:
    """Sensible arguments for one equation."""

    def one(name: str, unit: str) -> st.SearchStrategy[float]:
        return BY_NAME.get(name, counts if unit == "1" else amounts)

    values: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {name: one(name, unit) for name, unit in equation.arguments.items()}
    )
    mend = MENDED.get(equation.name)
    values = values.map(mend) if mend else values
    condition = CONDITIONS.get(equation.name)
    return values.filter(condition) if condition else values
