"""The report as one HTML page: inline style and pictures, no script, no network, every text escaped."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape

from bioinstruct.analysis.comparison import Comparison
from bioinstruct.analysis.notes import method_notes, status_line
from bioinstruct.analysis.tables import Table, all_tables

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 0 auto; max-width:
1120px; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
.status { border-left: 4px solid #0072B2; background: #eef5fa; padding: .5rem .8rem; }
.status.open { border-color: #D55E00; background: #fdf2ea; }
.scroll { overflow-x: auto; border: 1px solid #ddd; border-radius: 4px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .875rem; width: 100%; }
th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid #eee; vertical-align: top; }
td { white-space: nowrap; }
td.long { white-space: normal; min-width: 14rem; text-align: left; }
th:first-child { text-align: left; position: sticky; left: 0; background: #fff; white-space: nowrap; }
thead th small { white-space: nowrap; }
thead th { border-bottom: 2px solid #888; vertical-align: bottom; background: #fff; }
tbody tr:nth-child(even) td, tbody tr:nth-child(even) th { background: #f7f7f7; }
tr.baseline td, tr.baseline th { color: #555; font-weight: normal; font-style: italic; }
small { color: #555; font-weight: normal; }
.note { color: #444; font-size: .875rem; margin: .4rem 0 0; }
figure { margin: 1.2rem 0; overflow-x: auto; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption { font-size: .875rem; color: #444; }
@media (max-width: 600px) { body { padding: .6rem; } th, td { padding: .3rem .4rem; } }
"""


def html_page(comparison: Comparison, *, figures: Sequence[tuple[str, bytes]]) -> str:
    """The whole page; `figures` are (caption, SVG bytes)."""
    tables = all_tables(comparison)
    pictures = "".join(_figure(caption, svg) for caption, svg in figures)
    notes = "".join(f"<li>{escape(note)}</li>" for note in method_notes(comparison))
    status = "status open" if comparison.open_cells else "status"
    body = (
        f"<h1>{escape(comparison.title)}</h1>"
        f'<p class="{status}">{escape(status_line(comparison))}</p>'
        + _table(tables[0])
        + pictures
        + "".join(_table(table) for table in tables[1:])
        + f"<h2>How to read this</h2><ul class=note>{notes}</ul>"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(comparison.title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def _figure(caption: str, svg: bytes) -> str:
    """An SVG as an image: its ids cannot clash with another's, and it holds text that scales."""
    data = base64.b64encode(svg).decode()
    width = re.search(rb'<svg [^>]*?width="(\d+)', svg)
    readable = f' style="min-width: {width[1].decode()}px"' if width else ""  # a point of type is a pixel or more
    return (
        f'<figure><img alt="{escape(caption)}"{readable} src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_lines(text)}</th>' for text in table.header)
    body = "".join(_row(row) for row in table.rows)
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    return (
        f'<h2>{escape(table.title)}</h2><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(table.title)}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"{notes}"
    )


def _row(row: Sequence[str]) -> str:
    kind = ' class="baseline"' if row[0].startswith("baseline: ") else ""
    cells = "".join(f"<td{_long(text)}>{_lines(text)}</td>" for text in row[1:])
    return f'<tr{kind}><th scope="row">{_lines(row[0])}</th>{cells}</tr>'


def _long(text: str) -> str:
    return ' class="long"' if max(map(len, text.split("\n"))) > 48 else ""


def _lines(text: str) -> str:
    """The first line plain, later ones small below it."""
    first, *rest = text.split("\n")
    return escape(first) + "".join(f"<br><small>{escape(line)}</small>" for line in rest)
