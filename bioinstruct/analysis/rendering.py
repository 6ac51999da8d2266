"""Tables as Markdown, LaTeX (booktabs) and long CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from bioinstruct.analysis.comparison import Comparison
from bioinstruct.analysis.frame import COLUMNS, comparison_rows
from bioinstruct.analysis.notes import method_notes, status_line
from bioinstruct.analysis.tables import Table, all_tables

LATEX_SYMBOLS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "×": r"$\times$",
    "–": "--", "<": "$<$", ">": "$>$", "≥": r"$\geq$", "⁶": "$^6$", "/": r"\slash{}", "“": "``", "”": "''",
}  # fmt: skip


def markdown(comparison: Comparison, *, figures: Sequence[tuple[str, str]]) -> str:
    """The report as Markdown; `figures` are (file name, caption) beside it."""
    parts = [f"# {_md(comparison.title)}", _md(status_line(comparison))]
    parts += [f"![{_md(caption)}]({name})" for name, caption in figures]
    parts += [_markdown_table(table) for table in all_tables(comparison)]
    parts += ["## How to read this", "\n".join(f"- {_md(note)}" for note in method_notes(comparison))]
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    lines = [
        f"## {_md(table.title)}\n",
        _markdown_row(table.header),
        "|" + "---|" * len(table.header),
        *(_markdown_row(row) for row in table.rows),
    ]
    return "\n".join(lines) + "".join(f"\n\n{_md(note)}" for note in table.notes)


def _markdown_row(row: Sequence[str]) -> str:
    return "| " + " | ".join(_md(text) for text in row) + " |"


def _md(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no column break."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for symbol in "\\`*_[]|":
        escaped = escaped.replace(symbol, f"\\{symbol}")
    return escaped.replace("\n", "<br>")


def latex(comparison: Comparison) -> str:
    """All tables but the list of runs, each a booktabs table; needs \\usepackage{booktabs,makecell}."""
    tables = [table for table in all_tables(comparison) if table.title != "Runs"]
    head = f"% {comparison.title.splitlines()[0]}\n% \\usepackage{{booktabs,makecell,graphicx}}\n"
    return head + "\n".join(_latex_table(table) for table in tables)


def _latex_table(table: Table) -> str:
    body = "\n".join(_latex_row(row) for row in table.rows)
    caption = " ".join([f"{table.title}.", *table.notes])
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{_tex(caption)}}}\n"
        "\\resizebox{\\linewidth}{!}{%\n"
        f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}\n\\toprule\n"
        f"{_latex_row(table.header)}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}}}\n\\end{{table}}\n"
    )


def _latex_row(row: Sequence[str]) -> str:
    return " & ".join(_latex_cell(text) for text in row) + r" \\"


def _latex_cell(text: str) -> str:
    if "\n" not in text:
        return _tex(text)
    return "\\makecell[r]{" + r" \\ ".join(_tex(line) for line in text.split("\n")) + "}"


def _tex(text: str) -> str:
    return "".join(LATEX_SYMBOLS.get(symbol, symbol) for symbol in text.replace("\n", " "))


def long_csv(comparison: Comparison) -> str:
    """One row per cell × task × protocol × metric; cells without results have one row with their state."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(comparison_rows(comparison.cells))
    return text.getvalue()
