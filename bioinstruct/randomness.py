"""Seeds for each use, derived from the one seed of the configuration."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *use: str | int) -> int:
    """A seed in [0, 2**63) for one use of randomness, for example derive_seed(0, "order", epoch)."""
    text = "\x1f".join(str(part) for part in (seed, *use))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
