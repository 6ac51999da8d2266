"""The pictures of a datasheet: verb and object sunburst, nearest-neighbour ROUGE-L, lengths, categories."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bioinstruct.building.datasheet import SIMILAR, Datasheet, objects_of
from bioinstruct.building.verbs import NO_OBJECT
from bioinstruct.categories import CATEGORIES

NUM_VERBS = 20
NUM_OBJECTS = 4
"""Self-Instruct shows the 20 most frequent root verbs and the top 4 objects of each."""

COLOURS = {"qa": "#0072b2", "ie": "#e69f00", "gen": "#009e73", "other": "#999999", "unlabelled": "#cccccc"}
"""Okabe-Ito, told apart by colour-blind readers too."""

MIN_DEGREES = 2.2
"""Slices narrower than this have no room for a line of text."""

FIELD_COLOURS = {"instruction": "#0072b2", "input": "#e69f00", "output": "#009e73"}


def draw(sheet: Datasheet) -> dict[str, Figure]:
    """The figures by name; those without data are left out."""
    figures = {"verbs": _draw_verbs(sheet.verbs), "lengths": _draw_lengths(sheet.word_counts)}
    if sheet.nearest:
        figures["nearest"] = _draw_nearest(sheet.nearest)
    if set(sheet.categories) != {"unlabelled"}:
        figures["categories"] = _draw_categories(sheet.categories)
    return figures


def render(figure: Figure, kind: str) -> bytes:
    """A figure as `png` or `svg`; the same bytes for the same figure."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "bioinstruct", "svg.fonttype": "none"}):
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, dpi=150, bbox_inches="tight", metadata=metadata)
    return buffer.getvalue()


def _draw_verbs(verbs: Counter[tuple[str, str]]) -> Figure:
    """Inner ring: the most frequent root verbs; outer ring: their most frequent objects, nothing else."""
    shown = Counter({(verb, noun): n for (verb, noun), n in verbs.items() if noun != NO_OBJECT})
    by_verb: Counter[str] = Counter()
    for (verb, _), number in shown.items():
        by_verb[verb] += number
    top = {verb: objects_of(shown, verb)[:NUM_OBJECTS] for verb, _ in by_verb.most_common(NUM_VERBS)}
    sizes = {verb: sum(n for _, n in objects) for verb, objects in top.items()}
    figure = Figure(figsize=(9, 9))
    axes = figure.add_subplot()
    palette = dict(zip(top, mpl.colormaps["tab20"](np.linspace(0, 1, max(1, len(top)))), strict=False))
    slices = [(verb, noun, n, place) for verb in top for place, (noun, n) in enumerate(top[verb])]
    blends = [0.3 + 0.12 * place for *_, place in slices]
    colours = [_opaque(palette[verb] * (1 - b) + b) for (verb, *_), b in zip(slices, blends, strict=True)]
    if slices:
        inner = [_opaque(palette[verb] * 0.85 + 0.15) for verb in top]
        _ring(axes, list(sizes.values()), list(top), inner, radius=0.72, width=0.44)
        _ring(axes, [n for _, _, n, _ in slices], [noun for _, noun, *_ in slices], colours, radius=1.1, width=0.37)
    axes.set_title(
        f"The {len(top)} most frequent root verbs with up to {NUM_OBJECTS} objects each: "
        f"{sum(sizes.values()):,} of {sum(verbs.values()):,} instructions",
        y=1.0,
    )
    return figure


def _ring(
    axes: Axes,
    sizes: Sequence[int],
    labels: Sequence[str],
    colours: Sequence[tuple[float, float, float, float]],
    *,
    radius: float,
    width: float,
) -> None:
    """One ring with each label along its radius; slices too narrow for a line of text stay without."""
    wedges = axes.pie(
        sizes,
        radius=radius,
        colors=colours,
        startangle=90,
        counterclock=False,
        wedgeprops={"width": width, "edgecolor": "white", "linewidth": 0.6},
    )[0]
    for wedge, label in zip(wedges, labels, strict=True):
        if label and wedge.theta2 - wedge.theta1 >= MIN_DEGREES:
            angle = (wedge.theta1 + wedge.theta2) / 2
            middle = radius - width / 2
            turn = angle % 360
            axes.text(
                middle * np.cos(np.radians(angle)),
                middle * np.sin(np.radians(angle)),
                label,
                rotation=turn - 180 if 90 < turn < 270 else turn,
                rotation_mode="anchor",
                ha="center",
                va="center",
                fontsize=7.5,
            )


def _opaque(colour: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    return (float(colour[0]), float(colour[1]), float(colour[2]), 1.0)


def _draw_nearest(nearest: Sequence[float]) -> Figure:
    figure = Figure(figsize=(7, 3.6))
    axes = figure.add_subplot()
    axes.hist(nearest, bins=np.arange(0, 1.0001, 0.02).tolist(), color="#0072b2")
    axes.axvline(SIMILAR, color="#d55e00", linestyle="--", label=f"filter: above {SIMILAR}")
    axes.set_xlim(0, 1)
    axes.set_xlabel("ROUGE-L of an instruction with its nearest neighbour")
    axes.set_ylabel("instructions")
    axes.legend(frameon=False)
    return _plain(figure, axes)


def _draw_lengths(word_counts: Mapping[str, Sequence[int]]) -> Figure:
    figure = Figure(figsize=(7, 3.6))
    axes = figure.add_subplot()
    for name, counts in word_counts.items():
        shown = [count for count in counts if count > 0]
        if shown:
            axes.ecdf(shown, linewidth=1.8, color=FIELD_COLOURS[name], label=name)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.set_xlabel("words (empty inputs left out)")
    axes.set_ylabel("share of records with at most so many")
    axes.legend(frameon=False)
    return _plain(figure, axes)


def _draw_categories(categories: Counter[str]) -> Figure:
    figure = Figure(figsize=(7, 2.6))
    axes = figure.add_subplot()
    names = [name for name in (*CATEGORIES, "unlabelled") if categories[name]]
    bars = axes.barh(names, [categories[name] for name in names], color=[COLOURS[name] for name in names])
    total = sum(categories.values())
    axes.bar_label(bars, [f"{categories[name]:,} ({categories[name] / total:.1%})" for name in names], padding=4)
    axes.margins(x=0.18)
    axes.invert_yaxis()
    axes.set_xlabel("records")
    return _plain(figure, axes)


def _plain(figure: Figure, axes: Axes) -> Figure:
    axes.spines[["top", "right"]].set_visible(False)
    return figure
