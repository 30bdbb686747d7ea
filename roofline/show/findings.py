"""What a table of estimates shows and what it rests on, in sentences computed from its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roofline.show.lines import figure
from roofline.show.pools import Pool
from roofline.show.records import Row
from roofline.units import format_quantity


@dataclass(frozen=True)
class Names:
    """What sentences and tables call a pool, and its part, by how the pool was typed."""

    pool: Mapping[str, str]
    part: Mapping[str, str]

    @classmethod
    def of(cls, pools: Sequence[Pool]) -> Names:
        """Labels such as `8 × h100-sxm`; pools that would share one are told apart by their options."""
        shared = {pool.label for pool in pools if sum(pool.label == other.label for other in pools) > 1}
        labels = {
            pool.text: f"{pool.label} {pool.text.partition(',')[2]}".strip() if pool.label in shared else pool.label
            for pool in pools
        }
        return cls(labels, {pool.text: pool.name for pool in pools})


def findings(rows: Sequence[Row], names: Names) -> list[str]:
    """Which pool is fastest for one user, which makes most of a device and of a dollar, and how far from the floor."""
    fitting = [row for row in rows if row["fits"] and row["phase"] == "decode"]
    prompts = [row for row in rows if row["fits"] and row["phase"] == "prefill"]
    found = [_fastest(prompts, names), _best_use(prompts, names)] if len(prompts) > 1 else []
    if len({row["deployment"] for row in fitting}) > 1:
        batches = sorted({row["batch"] for row in fitting})
        alone = [row for row in fitting if row["batch"] == batches[0]]
        together = [row for row in fitting if row["batch"] == batches[-1]]
        if len(alone) > 1:
            found.append(_fastest(alone, names))
        if len(together) > 1:
            found.append(_best_use(together, names))
        found.append(_distance(alone, names))
    return found


def _fastest(rows: Sequence[Row], names: Names) -> str:
    first, second = sorted(rows, key=lambda row: row["seconds"])[:2]
    ratio = second["seconds"] / first["seconds"]
    overlap = second["low"] < first["high"]
    certain = "their 80 % intervals overlap" if overlap else "their 80 % intervals do not overlap"
    speed = f"is fastest for one user, {figure(first['tokens_per_second_per_user'])} tokens/s"
    if first["phase"] == "prefill":
        speed = f"has the first token soonest, after {figure(first['seconds'] * 1e3)} ms"
    return (
        f"{_where(first)}: {names.pool[first['deployment']]} {speed}, {figure(ratio)} times as fast as "
        f"{names.pool[second['deployment']]}; {certain}"
    )


def _where(row: Row) -> str:
    return "prefill" if row["phase"] == "prefill" else f"batch {row['batch']:,g}"


def _best_use(rows: Sequence[Row], names: Names) -> str:
    most = max(rows, key=lambda row: row["tokens_per_second_per_device"])
    words = (
        f"{_where(most)}: {names.pool[most['deployment']]} makes the most of a device, "
        f"{figure(most['tokens_per_second_per_device'])} tokens/s"
    )
    priced = [row for row in rows if row["usd_per_million_tokens"] is not None]
    if len(priced) < 2:
        return words
    cheapest = min(priced, key=lambda row: row["usd_per_million_tokens"])
    who = ", and it" if cheapest is most else f"; {names.pool[cheapest['deployment']]}"
    of = "" if len(priced) == len(rows) else f" of the {len(priced)} with a price"
    return f"{words}{who} is cheapest{of}, {figure(cheapest['usd_per_million_tokens'])} USD per million tokens"


def _distance(rows: Sequence[Row], names: Names) -> str:
    near, *_, far = sorted((*rows, *rows), key=lambda row: row["seconds"] / row["floor"])
    return (
        f"calibrated time is {figure(near['seconds'] / near['floor'], 2)} times the floor on "
        f"{names.pool[near['deployment']]} and {figure(far['seconds'] / far['floor'], 2)} times on "
        f"{names.pool[far['deployment']]}, bound by {far['bound']}"
    )


def assumed(rows: Sequence[Row], names: Names) -> list[str]:
    """Assumptions of all rows, each once, with the parts that it was made for unless that is all."""
    makers: dict[str, list[str]] = {}
    for row in rows:
        part = names.part[row["deployment"]]
        for sentence in row["assumptions"]:
            general = sentence.replace(f"{row['accelerator']} has ", "").replace(f"{row['accelerator']}: ", "")
            found = makers.setdefault(general.replace(row["accelerator"], "the part"), [])
            if part not in found:
                found.append(part)
    everyone = len(set(names.part.values()))
    return [
        sentence if len(parts) == everyone else f"{', '.join(parts)}: {sentence}" for sentence, parts in makers.items()
    ]


def missing(rows: Sequence[Row], names: Names) -> list[str]:
    """Which parts have no published price or power, and what to type instead."""
    found = []
    for key, example, unit in (("price", "2.50", "USD/h"), ("power", "700", "W")):
        parts = dict.fromkeys(names.part[row["deployment"]] for row in rows if row[key] is None)
        if parts:
            gives = f"{key}={example} in the pool gives it in {unit}"
            found.append(f"no {key} of {' or '.join(parts)} is published, so its cells are empty: {gives}")
    return found


def does_not_fit(row: Row) -> str:
    """How much is missing, what would do, and what fits instead."""
    short = format_quantity(row["shortfall_bytes"], "B")
    count = row["min_devices"]
    would = f"{count:,} devices would do" if count else "no number of devices would do"
    room = f"; it holds {row['max_batch']:,g} sequences" if row["max_batch"] else ""
    return f"does not fit: {short} short; {would}{room}"
