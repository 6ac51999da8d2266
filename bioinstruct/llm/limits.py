"""Requests and tokens per minute: buckets that refill, fed by what the endpoint's headers say."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


def parse_duration(text: str) -> float | None:
    """Seconds of `6m0s`, `20ms`, `1.5` (the form of OpenAI's x-ratelimit-reset-*); None for anything else."""
    parts = list(DURATION.finditer(text.strip()))
    if not parts or "".join(part.group() for part in parts) != text.strip():
        return None
    return sum(float(part.group(1)) * SECONDS_PER_UNIT[part.group(2)] for part in parts)


class Bucket:
    """Holds up to one minute's allowance and refills evenly; without a limit it is never empty."""

    def __init__(self, per_minute: float | None, *, now: float) -> None:
        self.per_minute = per_minute
        self.level = per_minute or 0.0
        self.updated = now

    def refill(self, now: float) -> None:
        if self.per_minute is not None:
            self.level = min(self.per_minute, self.level + (now - self.updated) * self.per_minute / 60)
        self.updated = now

    def wait_seconds(self, amount: float) -> float:
        """Seconds until `amount`, or a whole minute's allowance if that is less, can be taken."""
        if self.per_minute is None:
            return 0.0
        missing = min(amount, self.per_minute) - self.level
        return max(0.0, missing * 60 / self.per_minute)

    def take(self, amount: float) -> None:
        if self.per_minute is not None:
            self.level -= min(amount, self.per_minute)

    def learn(self, *, limit: float | None, remaining: float | None) -> None:
        """Takes over a stricter limit, and a lower level, from the endpoint."""
        if limit is not None and limit > 0 and (self.per_minute is None or limit < self.per_minute):
            self.level = limit if self.per_minute is None else min(self.level, limit)
            self.per_minute = limit
        if remaining is not None and self.per_minute is not None:
            self.level = min(self.level, remaining)


class RateLimiter:
    """Lets requests through in the order of asking, as fast as both buckets and pauses allow."""

    def __init__(
        self,
        *,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._paused_until = clock()
        self._buckets = {
            "requests": Bucket(requests_per_minute, now=clock()),
            "tokens": Bucket(tokens_per_minute, now=clock()),
        }

    async def acquire(self, tokens: int) -> None:
        """Waits until one request of `tokens` tokens (prompt and longest answer) may be sent."""
        amounts = {"requests": 1, "tokens": tokens}
        async with self._turn:
            while (wait := self._wait_seconds(amounts)) > 0:
                await self._sleep(wait)
            for name, bucket in self._buckets.items():
                bucket.take(amounts[name])

    def observe(self, headers: Mapping[str, str]) -> None:
        """Learns limits and what remains from x-ratelimit-{limit,remaining,reset}-{requests,tokens}."""
        for name, bucket in self._buckets.items():
            bucket.refill(self._clock())
            remaining = _number(headers.get(f"x-ratelimit-remaining-{name}"))
            bucket.learn(limit=_number(headers.get(f"x-ratelimit-limit-{name}")), remaining=remaining)
            reset = parse_duration(headers.get(f"x-ratelimit-reset-{name}", ""))
            if remaining == 0 and reset is not None:
                self.pause(reset)

    def pause(self, seconds: float) -> None:
        """Lets nothing through for so long: an endpoint that refuses one request refuses the others too."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _wait_seconds(self, amounts: Mapping[str, float]) -> float:
        now = self._clock()
        for bucket in self._buckets.values():
            bucket.refill(now)
        waits = [bucket.wait_seconds(amounts[name]) for name, bucket in self._buckets.items()]
        return max(self._paused_until - now, *waits)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
