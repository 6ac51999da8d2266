"""Typed values out of JSON objects; a wrong one is a UserError that names the file and the key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bioinstruct.errors import UserError


class Fields:
    """One JSON object read key by key; `where` names it in errors."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: expected an object, found {type(value).__name__}; write it again")
        self.value: Mapping[str, object] = value
        self.where = where

    def text(self, key: str, default: str | None = None) -> str:
        """The string under `key`; an absent or null one is `default`, or an error without default."""
        found = self.value.get(key)
        if found is None and default is not None:
            return default
        if not isinstance(found, str):
            raise self._wrong(key, "a text")
        return found

    def optional_text(self, key: str) -> str | None:
        """The string under `key`, or None."""
        return None if self.value.get(key) is None else self.text(key)

    def number(self, key: str, default: float | None = None) -> float:
        """The number under `key` (NaN is a number); an absent or null one is `default`."""
        found = self.value.get(key)
        if found is None and default is not None:
            return default
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self._wrong(key, "a number")
        return float(found)

    def optional_number(self, key: str) -> float | None:
        """The number under `key`, or None."""
        return None if self.value.get(key) is None else self.number(key)

    def integer(self, key: str, default: int | None = None) -> int:
        """The whole number under `key`."""
        return int(self.number(key, default))

    def optional_integer(self, key: str) -> int | None:
        """The whole number under `key`, or None."""
        return None if self.value.get(key) is None else self.integer(key)

    def sequence(self, key: str) -> Sequence[object]:
        """The list under `key`; empty where absent."""
        found = self.value.get(key)
        if found is None:
            return ()
        if not isinstance(found, list | tuple):
            raise self._wrong(key, "a list")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of strings under `key`; empty where absent."""
        return tuple(str(value) for value in self.sequence(key))

    def numbers(self, key: str) -> dict[str, float]:
        """The object of numbers under `key`; empty where absent."""
        inner = Fields(self.value.get(key) or {}, f"{self.where}: {key}")
        return {name: inner.number(name) for name in inner.value}

    def inner(self, key: str) -> Fields:
        """The object under `key`."""
        return Fields(self.value.get(key), f"{self.where}: {key}")

    def inner_list(self, key: str) -> list[Fields]:
        """The list of objects under `key`; empty where absent."""
        return [Fields(value, f"{self.where}: {key}[{i}]") for i, value in enumerate(self.sequence(key))]

    def _wrong(self, key: str, wanted: str) -> UserError:
        found = self.value.get(key)
        return UserError(f"{self.where}: {key} is {found!r}, expected {wanted}; remove the file and run again")
