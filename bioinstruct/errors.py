"""The two errors whose message is meant for the user: commands print them without a traceback."""

from __future__ import annotations


class UserError(ValueError):
    """A value given by the user is not allowed; the message says value, what is allowed, what to do."""


class PrerequisiteError(RuntimeError):
    """A package, file, licence or device is missing; the message ends with the way to get it."""
