"""The entry point of the `roofline` command.

It imports nothing before it can be interrupted without a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `roofline` with the arguments of the command line; the exit status."""
    try:
        from roofline.show.commands import run  # noqa: PLC0415

        return run(arguments)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
