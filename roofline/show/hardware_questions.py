"""What the commands about hardware answer."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from roofline.describe.catalog import accelerators
from roofline.describe.systems import systems as system_names
from roofline.describe.template import measured_of, spec_template
from roofline.errors import InvalidInput, UnknownName
from roofline.show import hardware_view, part_view, system_view
from roofline.show.answer import Answer, answered
from roofline.show.failures import NO, OK
from roofline.show.hardware_choice import Choice
from roofline.show.lines import Line


def listed(choice: Choice, *, systems: bool, form: str) -> Answer:
    """All parts or systems that are asked for; status 1 where there are none."""
    every = system_view.system_rows() if systems else hardware_view.part_rows()
    rows = choice.of_rows(every)
    drawn = system_view.system_list if systems else hardware_view.part_list

    def view(width: int) -> list[Line]:
        if not rows:
            return [Line((f"none of {len(every)} {'systems' if systems else 'parts'} is all that", "yellow"))]
        return drawn(rows, width, sort=choice.sort)

    return answered(rows, form, view, OK if rows else NO)


def described(names: Sequence[str], choice: Choice, *, systems: bool, form: str) -> Answer:
    """Parts or systems by name: one with every number, several side by side."""
    if not choice.anything:
        raise InvalidInput("NAME", given=names[0], expected="no name beside options that choose or sort")
    are = [_is_system(name, systems=systems) for name in names]
    if any(are) and not all(are):
        raise InvalidInput("NAME", given=" and ".join(names), expected="parts or systems, not both")
    if any(are):
        return _systems(names, form)
    rows = [row for name in names for row in part_view.number_rows(name)]
    if len(names) == 1:
        return answered(rows, form, lambda width: part_view.part_details(names[0], rows, width))
    return answered(rows, form, lambda width: part_view.side_by_side(names, rows, width))


def _systems(names: Sequence[str], form: str) -> Answer:
    if len(names) > 1:
        rows = [system_view.system_row(name) for name in names]
        return answered(rows, form, lambda width: system_view.system_list(rows, width))
    figures = system_view.figure_rows(names[0])
    return answered(figures, form, lambda width: system_view.system_details(names[0], figures, width))


def _is_system(name: str, *, systems: bool) -> bool:
    """Whether a name is a system's; a name that is nothing is refused with those that are near."""
    parts, boxes = accelerators(), system_names()
    if name in boxes:
        return True
    if name in parts or name.endswith(".toml") or "/" in name:
        if systems:
            raise UnknownName("system", given=name, known=boxes, expected=f"one of {len(boxes)} systems")
        return False
    if systems:
        raise UnknownName("system", given=name, known=boxes, expected=f"one of {len(boxes)} systems")
    near = UnknownName("accelerator", given=name, known=[*parts, *boxes])
    if near.nearest is not None and any(word in boxes for word in str(near.nearest).split(" or ")):
        raise UnknownName(
            "hardware", given=name, known=[*parts, *boxes], expected="a part, a system, or a path to a .toml file"
        )
    return False  # the catalogue says why some parts that people ask for have no file


def begun(name: str, like: str, output: str | None, *, force: bool) -> Answer:
    """A spec file to fill in, written to a file that is not there yet, or to the terminal."""
    if not name.strip() or not name.isprintable() or len(name) > 100:
        raise InvalidInput("NAME", given=name, expected="what the new part is called")
    if output is None and ("/" in name or name in (".", "..")):
        raise InvalidInput("NAME", given=name, expected="a name that can be a file's, or -o FILE.toml")
    text = spec_template(name, like)
    if output == "-":
        return Answer(text)
    path = Path(output or f"{name.removesuffix('.toml')}.toml")
    if path.suffix != ".toml":
        raise InvalidInput("-o", given=str(path), expected="a .toml file", nearest=f"{path}.toml")
    if path.is_dir():
        raise InvalidInput("-o", given=str(path), expected="a file, and this is a directory")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InvalidInput("-o", given=str(path), expected="a file that is not there yet, or --force") from None
    given = shlex.quote(str(path))
    steps = f"  roofline hardware {given}    every number as it is read\n"
    steps += f"  roofline check {given}       whether its numbers fit together\n"
    steps += f"  roofline compare llama-3.1-70b --on {shlex.quote(f'{path}:8')} --on {shlex.quote(like)}:8\n"
    done = f"written: {path}, with the figures of {like}; replace them and their sources"
    if measured_of(like):
        done += f"\nwhat was measured of {like} itself is not in it: its kernels are the class's"
    return Answer(f"{done}\n\nNext\n{steps}")
