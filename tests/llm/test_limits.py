"""Rate limits against a clock that only moves when somebody sleeps."""

from __future__ import annotations

import asyncio

import pytest

from bioinstruct.llm.limits import RateLimiter, parse_duration


class Clock:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def make_limiter(clock: Clock, *, requests: float | None = None, tokens: float | None = None) -> RateLimiter:
    return RateLimiter(requests_per_minute=requests, tokens_per_minute=tokens, clock=clock, sleep=clock.sleep)


def seconds_for(limiter: RateLimiter, clock: Clock, *amounts: int) -> float:
    began = clock.now

    async def acquire_all() -> None:
        for tokens in amounts:
            await limiter.acquire(tokens)

    asyncio.run(acquire_all())
    return clock.now - began


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6m0s", 360), ("20ms", 0.02), ("1.5", 1.5), ("1h2m3s", 3723), ("soon", None), ("", None)],
)
def test_durations_of_headers_are_read(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


def test_without_limits_nothing_waits() -> None:
    clock = Clock()
    assert seconds_for(make_limiter(clock), clock, *[10_000] * 50) == 0


def test_requests_beyond_the_minutes_allowance_wait_for_the_refill() -> None:
    clock = Clock()
    # Two at once, then one each 30 seconds.
    assert seconds_for(make_limiter(clock, requests=2), clock, 1, 1, 1, 1) == pytest.approx(60)


def test_tokens_are_limited_too_and_a_giant_request_waits_for_a_full_bucket() -> None:
    clock = Clock()
    limiter = make_limiter(clock, tokens=600)
    assert seconds_for(limiter, clock, 600, 100) == pytest.approx(10)
    assert seconds_for(limiter, clock, 5000) == pytest.approx(60)


def test_headers_teach_a_stricter_limit_and_what_remains() -> None:
    clock = Clock()
    limiter = make_limiter(clock, requests=6000)
    limiter.observe({"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "1"})
    assert seconds_for(limiter, clock, 1, 1, 1) == pytest.approx(2)


def test_a_looser_limit_in_the_headers_does_not_lift_the_configured_one() -> None:
    clock = Clock()
    limiter = make_limiter(clock, requests=1)
    limiter.observe({"x-ratelimit-limit-requests": "5000"})
    assert seconds_for(limiter, clock, 1, 1) == pytest.approx(60)


def test_an_exhausted_allowance_pauses_until_its_reset() -> None:
    clock = Clock()
    limiter = make_limiter(clock)
    limiter.observe({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m30s"})
    assert seconds_for(limiter, clock, 1) == pytest.approx(90)
