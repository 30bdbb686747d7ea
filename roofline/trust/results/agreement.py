"""Whether what a caller says of results may stand beside what their file states: a matter of more than spelling."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping

from roofline.describe.runtimes import runtime, runtimes
from roofline.errors import InvalidInput, RooflineError, UnknownName
from roofline.trust.measured_rows import described, stack_name
from roofline.trust.results.fields import Row

SAME = 0.1
"""Two lengths or requests in flight this near are one: those that are asked for and those that come out, say [1]."""
NEAR = 0.75
"""Likeness from which one name is another, mistyped [1]: vlm is vllm, ollama is not."""
MEANINGS = {
    "16 bits": ("bf16", "fp16", "f16", "bfloat16", "float16", "half"),
    "fp32": ("fp32", "f32", "float32"),
    "fp8": ("fp8", "float8", "w8a8"),
    "mxfp8": ("mxfp8", "fp8"),
    "int8": ("int8", "w8a8"),
    "w8a16": ("w8a16", "int8", "gptq", "q8"),
    "w4a16": ("w4a16", "int4", "awq", "gptq", "q4"),
    "nvfp4": ("nvfp4", "fp4"),
    "mxfp4": ("mxfp4", "fp4"),
}
"""Formats, and the words that may mean them."""


def check_stack(row: Mapping[str, str], where: str) -> None:
    """Refuse a serving stack whose name is nearly that of one described; others go by any name."""
    name, known = row.get("runtime", ""), runtimes()
    if not name or stack_name(name):
        return
    if any(stack.startswith(name.lower()) or _alike(stack, name) for stack in known):
        expected = f"one of {', '.join(known)}, or a stack of another name"
        raise UnknownName(f"{where}runtime", given=name, known=known, expected=expected)


def agree(row: Row, said: Mapping[str, str], where: str) -> None:
    """Refuse what is said against what the file states, where both are known to mean something else."""
    for name, other in said.items():
        own = row.get(name)
        if own and name in _SAME and not _SAME[name](own, other):
            raise InvalidInput(f"{where}, {name}", given=other, expected=f"{own}, which the file states")


def _same_count(own: str, said: str) -> bool:
    return float(own) == float(said)


def _same_length(own: str, said: str) -> bool:
    return abs(float(own) - float(said)) <= SAME * float(own)


def _same_model(own: str, said: str) -> bool:
    """Whether two names are of one model; that of a file may be a path that says nothing."""
    try:
        shape = described(own)
    except RooflineError:
        return True
    return shape == described(said)


def _same_format(own: str, said: str) -> bool:
    """Whether two names may be of one format, one of them more precise than the other, say, or of a format not known.

    >>> _same_format("FP8", "fp8_block"), _same_format("W4A16_AWQ", "int4"), _same_format("fp8", "nvfp4")
    (True, True, False)
    """
    meant, others = _meanings(own), _meanings(said)
    return not meant or not others or bool(meant & others)


def _meanings(name: str) -> set[str]:
    """The formats that a name may be of: those that all of its known words mean, or any where it names several."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    each = [means for word in words if (means := {form for form, known in MEANINGS.items() if word in known})]
    return set.intersection(*each) or set.union(*each) if each else set()


def _same_stack(own: str, said: str) -> bool:
    """Whether two names are of one serving stack, versions and spelling aside."""
    mine, other = (name and runtime(name).today for name in map(stack_name, (own, said)))
    if mine and other:
        return mine == other
    one, two = own.lower(), said.lower()
    return one in two or two in one or _alike(mine or one, other or two)


def _alike(one: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio() >= NEAR


_SAME: Mapping[str, Callable[[str, str], bool]] = {
    **dict.fromkeys(("devices", "tp"), _same_count),
    **dict.fromkeys(("isl", "osl", "concurrency"), _same_length),
    "model": _same_model,
    **dict.fromkeys(("quantization", "kv_cache"), _same_format),
    "runtime": _same_stack,
}
"""Whether what a file states and what is said mean the same."""
