"""The pictures: transfer heat map, forest of effects, scaling curve, in Okabe-Ito colours."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from bioinstruct.analysis.comparison import Comparison, VariantResult
from bioinstruct.analysis.estimates import cell_weights, contrast, score_interval
from bioinstruct.analysis.numbers import interval_text, points
from bioinstruct.analysis.tables import family_name, missing_text, row_name, with_variant

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito 2008: told apart under the common colour-vision deficiencies."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

DIVERGING = LinearSegmentedColormap.from_list("loss_gain", ["#D55E00", "#F7F7F7", "#0072B2"], bad="#E4E4E4")


def heatmap(results: Sequence[VariantResult]) -> Figure | None:
    """Transfer heat map: gain over the untuned base, tuned on × tested on; None without a single gain."""
    rows = [(one, name) for one in results if one.family_gains for name in one.variant.categories if name != "none"]
    if not rows:
        return None
    families = list(results[0].block.families())
    columns: list[tuple[str, str, str | None]] = [(family_name(family), family, None) for family in families]
    columns += [(key.task, key.family, key.task) for key in results[0].block.keys]
    figure = Figure(figsize=(2.6 + 1.05 * len(columns), 2.2 + 0.46 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    gains = [[_gain(result, name, family, task) for _, family, task in columns] for result, name in rows]
    known = [abs(value) for line in gains for value in line if value is not None]
    limit = max([*known, 0.01]) * 100
    image = axes.imshow(
        [[float("nan") if value is None else 100 * value for value in line] for line in gains],
        cmap=DIVERGING,
        norm=TwoSlopeNorm(0, -limit, limit),
        aspect="auto",
    )
    for y, (result, name) in enumerate(rows):
        for x, value in enumerate(gains[y]):
            _label(axes, x, y, value=value, limit=limit, missing=missing_text(result.variant.cells[name]))
    axes.set_yticks(range(len(rows)), [row_name(result, name) if len(results) > 1 else name for result, name in rows])
    _frame(axes, [name for name, _, _ in columns], num_rows=len(rows), num_families=len(families))
    title = "Gain over the untuned base, by what it was tested on"
    axes.set_title(with_variant(title, results[0]) if len(results) == 1 else title, loc="left", fontsize=11)
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=30)
    bar.set_label("points (blue: better, orange: worse)")
    return figure


def _frame(axes: Axes, columns: Sequence[str], *, num_rows: int, num_families: int) -> None:
    """Names on top, white lines between cells, a black one between families and tasks."""
    axes.set_xticks(range(len(columns)), columns, rotation=35, ha="left")
    axes.xaxis.tick_top()
    axes.axvline(num_families - 0.5, color="black", linewidth=1.2)
    axes.set_ylabel("tuned on")
    axes.set_xticks([x - 0.5 for x in range(1, len(columns))], minor=True)
    axes.set_yticks([y - 0.5 for y in range(1, num_rows)], minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _gain(result: VariantResult, category: str, family: str, task: str | None) -> float | None:
    gain = result.family_gain(category, family) if task is None else result.task_gain(category, task)
    return None if gain is None else gain.difference.value


def _label(axes: Axes, x: int, y: int, *, value: float | None, limit: float, missing: str) -> None:
    if value is None:
        axes.text(x, y, missing, ha="center", va="center", fontsize=7, color="#555555")
        return
    red, green, blue, _ = DIVERGING(0.5 + 50 * value / limit)
    dark = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 < 0.18  # white then reads better
    axes.text(
        x,
        y,
        points(value, sign=True),
        ha="center",
        va="center",
        color="white" if dark else "black",
        fontsize=9,
    )


def forest(results: Sequence[VariantResult]) -> Figure | None:
    """Every effect with its interval, one panel per family, variants side by side; None without effects."""
    shown = [result for result in results if any(e.estimate for e in result.effects)]
    if not shown:
        return None
    known = [effect for result in shown for effect in result.effects if effect.estimate is not None]
    families = list(dict.fromkeys(effect.family for effect in known))
    names = {family: list(dict.fromkeys(e.name for e in known if e.family == family)) for family in families}
    heights = [len(names[f]) for f in families]
    figure = Figure(
        figsize=(6.8, 1.6 + (0.12 + 0.22 * len(shown)) * sum(heights) + 0.45 * len(families)),
        layout="constrained",
    )
    panels = figure.subplots(len(families), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for axes, family in zip(panels, families, strict=True):
        for index, result in enumerate(shown):
            _forest_panel(axes, result, family=family, names=names[family], place=(index, len(shown)))
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(names[family])), names[family])
        axes.set_ylim(len(names[family]) - 0.5, -0.5)
        title = "all families" if family == "all" else f"tested on {family_name(family)}"
        axes.set_title(title, loc="left", fontsize=10)
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.margins(x=0.36)
    panels[-1].set_xlabel("effect in points, 95 % interval (right of 0: better)")
    if len(shown) > 1:
        panels[0].legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _forest_panel(
    axes: Axes, result: VariantResult, *, family: str, names: Sequence[str], place: tuple[int, int]
) -> None:
    index, count = place
    color, marker = OKABE_ITO[index % len(OKABE_ITO)], MARKERS[index % len(MARKERS)]
    label: str | None = result.variant.label
    for effect in result.effects:
        if effect.family != family or effect.estimate is None:
            continue
        one = effect.estimate
        y = names.index(effect.name) + (index - (count - 1) / 2) * 0.7 / count
        axes.plot([100 * one.low, 100 * one.high], [y, y], color=color, linewidth=1.6)
        axes.plot([100 * one.value], [y], marker=marker, color=color, markersize=5, label=label, linestyle="none")
        if count == 1:
            text = interval_text(one.value, one.low, one.high, sign=True)
            axes.annotate(text, (100 * one.high, y), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8)
        label = None


def scaling(comparison: Comparison) -> Figure | None:
    """Family means against the number of training records; None unless one category has several sizes."""
    curves = _curves(comparison)
    families = list(dict.fromkeys(family for family, _ in curves))
    if not families:
        return None
    num_rows = (len(families) + 1) // 2
    figure = Figure(figsize=(8.2, 0.4 + 3.1 * num_rows), layout="constrained")
    grid = figure.subplots(num_rows, min(len(families), 2), squeeze=False).flatten()
    for unused in grid[len(families) :]:
        unused.set_visible(False)
    panels = list(grid[: len(families)])
    categories = list(dict.fromkeys(category for _, category in curves))
    for axes, family in zip(panels, families, strict=True):
        for index, category in enumerate(categories):
            _curve(axes, curves.get((family, category), []), category, index=index)
        _base_line(axes, comparison.results[0], family)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(f"tested on {family_name(family)}", loc="left", fontsize=10)
        axes.set_xlabel("training records")
        axes.set_ylabel("points, higher is better")
        axes.grid(color="#DDDDDD", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("points, higher is better")
    panels[-1].legend(title="tuned on", fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


Point = tuple[int, float, float, float]
"""(records, mean, low, high) in points."""


def _curves(comparison: Comparison) -> dict[tuple[str, str], list[Point]]:
    """(family, category) → points, for categories that were tuned on more than one number of records."""
    curves: dict[tuple[str, str], list[Point]] = {}
    for result in comparison.results:
        for category, cells in result.variant.cells.items():
            sizes = [cell.training.num_records for cell in cells if cell.training is not None]
            for family, keys in result.block.families().items():
                if sizes and category != "none" and result.block.has(category, keys):
                    mean = contrast(result.block, cell_weights(category, keys))
                    low, high = score_interval(mean)
                    point = (round(sum(sizes) / len(sizes)), 100 * mean.value, 100 * low, 100 * high)
                    curves.setdefault((family, category), []).append(point)
    return {key: sorted(found) for key, found in curves.items() if len({point[0] for point in found}) > 1}


def _curve(axes: Axes, found: Sequence[Point], category: str, *, index: int) -> None:
    color, marker = OKABE_ITO[index % len(OKABE_ITO)], MARKERS[index % len(MARKERS)]
    records = [point[0] for point in found]
    means = [point[1] for point in found]
    errors = [
        [mean - point[2] for mean, point in zip(means, found, strict=True)],
        [point[3] - mean for mean, point in zip(means, found, strict=True)],
    ]
    axes.errorbar(records, means, yerr=errors, color=color, marker=marker, capsize=2, linewidth=1.4, label=category)


def _base_line(axes: Axes, result: VariantResult, family: str) -> None:
    keys = result.block.families()[family]
    if result.block.has("none", keys):
        mean = contrast(result.block, cell_weights("none", keys))
        low, high = score_interval(mean)
        axes.axhline(100 * mean.value, color="#555555", linestyle="--", linewidth=1, label="none")
        axes.axhspan(100 * low, 100 * high, color="#BBBBBB", alpha=0.3, linewidth=0)


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG, 160 dots per inch."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return buffer.getvalue()


def svg_bytes(figure: Figure) -> bytes:
    """The figure as SVG, the same bytes for the same numbers."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "bioinstruct"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
