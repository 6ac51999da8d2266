"""Numbers as readers see them: points, intervals, signs, p values, – for what is undefined."""

from __future__ import annotations

import math

from bioinstruct.analysis.estimates import Contrast
from bioinstruct.analysis.gains import Ratio

DASH = "–"


def points(value: float, *, sign: bool = False) -> str:
    """A score in [0, 1] as points of 100, one decimal: 0.1234 → 12.3; with `sign`, +12.3 or −12.3."""
    if not math.isfinite(value):
        return DASH
    text = f"{100 * value:{'+' if sign else ''}.1f}"
    return {"-0.0": "0.0", "+0.0": "0.0"}.get(text, text).replace("-", "−")


def interval_text(value: float, low: float, high: float, *, sign: bool = False) -> str:
    """12.3 [10.1, 14.5]; `no interval` where the bounds are not known."""
    if not math.isfinite(value):
        return DASH
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{points(value, sign=sign)} [no interval]"
    return f"{points(value, sign=sign)} [{points(low, sign=sign)}, {points(high, sign=sign)}]"


def gain_text(difference: Contrast) -> str:
    """A signed difference in points with its interval."""
    return interval_text(difference.value, difference.low, difference.high, sign=True)


def relative_text(ratio: Ratio | None) -> str:
    """+48 % [+20, +83]; – where the base scored 0."""
    if ratio is None:
        return DASH
    return f"{_percent(ratio.value)} % [{_percent(ratio.low)}, {_percent(ratio.high)}]"


def _percent(value: float) -> str:
    if not math.isfinite(value) or value >= 1e4:
        return ">10⁶" if value > 0 else DASH
    return f"{100 * value:+,.0f}".replace("-", "−")


def share(value: float) -> str:
    """A share as percent: 0.123 → 12.3 %."""
    return f"{100 * value:.1f} %" if math.isfinite(value) else DASH


def p_text(value: float) -> str:
    """0.034; < 0.001 below that; – where there is no test."""
    if not math.isfinite(value):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
