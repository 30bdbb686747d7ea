"""Write the generated files beside the specs anew: `python -m tests.specs.rewrite`.

`hardware_specs/CHECKSUMS.toml` refuses a number that changed without a new edition; `docs/hardware-spec.schema.json`
follows the code.
"""

from __future__ import annotations

from pathlib import Path

from roofline.describe.editions import checksums_text
from roofline.describe.template import schema_text

ROOT = Path(__file__).parents[2]
CHECKSUMS = ROOT / "hardware_specs" / "CHECKSUMS.toml"
SCHEMA = ROOT / "docs" / "hardware-spec.schema.json"


def main() -> None:
    """Rewrite both."""
    CHECKSUMS.write_text(checksums_text(), encoding="utf-8")
    SCHEMA.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
