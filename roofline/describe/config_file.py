"""Reads a config.json from disk, whatever state it is in: the answer is an object or one clear line."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from roofline.errors import ConfigError

LARGEST_FILE = 16 * 2**20
"""Bytes above which a file is refused unread: the largest real config.json found has 3 MB."""


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or a `ConfigError` that says what is wrong with it."""
    where = str(path)
    text = _read_text(path, where)
    try:
        data = json.loads(text, object_pairs_hook=lambda pairs: _object(pairs, where))
    except RecursionError:
        raise ConfigError(where, given="deeply nested JSON", expected="a config.json") from None
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        state = "an empty file" if not text.strip() else f"invalid JSON ({str(error)[:80]})"
        raise ConfigError(where, given=state, expected="a complete JSON object") from None
    if not isinstance(data, dict):
        raise ConfigError(where, given=type(data).__name__, expected="a JSON object")
    return data


def _read_text(path: Path, where: str) -> str:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            inside = path / "config.json"
            raise ConfigError(
                where,
                given="a directory",
                expected="a config.json file",
                nearest=str(inside) if inside.is_file() else None,
            )
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(where, given="not a regular file", expected="a config.json file")
        if status.st_size > LARGEST_FILE:
            raise ConfigError(
                where,
                given=f"a file of {status.st_size / 2**20:,.0f} MiB",
                expected=f"a config.json of at most {LARGEST_FILE // 2**20} MiB",
            )
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(where, given="no such file", expected="a config.json file") from None
    except UnicodeDecodeError:
        raise ConfigError(where, given="bytes that are not UTF-8", expected="a config.json file") from None
    except OSError as error:
        raise ConfigError(where, given=error.strerror or "an unreadable file", expected="a config.json file") from None


def _object(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ConfigError(where, given=f"the key {twice[:80]!r} twice", expected="each key once")
    return data
