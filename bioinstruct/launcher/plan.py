"""The plan launcher's job: show the cells of a sweep with their state and cost, and start nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING
from rich.console import Console
from rich.table import Table

from bioinstruct.config.checks import in_range
from bioinstruct.launcher.cells import Cell, agreed
from bioinstruct.launcher.forecast import Forecast, Measured, forecast_cells, makespan, measure_runs
from bioinstruct.launcher.view import duration

WIDTH = 110
"""Width of the tables where the output is no terminal."""


@dataclass
class PlanOptions:
    """hydra.launcher of plan; what each key does stands in conf/hydra/launcher/plan.yaml."""

    tokens_per_second: float | None = None
    num_gpus: list[int] = MISSING

    def check(self) -> None:
        """Raises UserError for a value out of range."""
        in_range("hydra.launcher.tokens_per_second", self.tokens_per_second, above=0)
        for number in self.num_gpus:
            in_range("hydra.launcher.num_gpus", number, low=1)


def print_plan(name: str, cells: Sequence[Cell], options: PlanOptions, *, runs_root: Path) -> None:
    """Prints the cells, what they will cost, and how long they take together."""
    models = dict.fromkeys(cell.config.model.name for cell in cells)
    measured = {model: measure_runs(runs_root, model=model) for model in models}
    forecasts = forecast_cells(cells, measured=measured, tokens_per_second=options.tokens_per_second)
    lines = [*speed_lines(measured, options.tokens_per_second), *time_lines(forecasts, options.num_gpus)]
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(plan_table(name, forecasts))
    shared = agreed([cell.overrides for cell in cells])
    for line in [f"All cells: {' '.join(shared)}" if shared else "", *lines, "Nothing was started."]:
        if line:
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def plan_table(name: str, forecasts: Sequence[Forecast]) -> Table:
    """One row per cell: label, state, tokens, steps, time left, memory."""
    table = Table(title=f"plan of {name}: {len(forecasts)} cells", title_justify="left", show_footer=True)
    total_tokens = sum(forecast.cell.plan.num_tokens for forecast in forecasts)
    seconds = [forecast.seconds for forecast in forecasts if forecast.seconds is not None]
    table.add_column("cell", footer="all", overflow="fold")
    table.add_column("run", overflow="fold")
    table.add_column("state")
    table.add_column("tokens", footer=f"{total_tokens:,}", justify="right")
    table.add_column("steps", justify="right")
    complete = len(seconds) == len(forecasts)
    table.add_column("time left", footer=duration(sum(seconds)) if complete else "", justify="right")
    table.add_column("memory", justify="right")
    for forecast in forecasts:
        plan = forecast.cell.plan
        table.add_row(
            forecast.cell.label,
            plan.run_id,
            plan.state,
            f"{plan.num_tokens:,}",
            f"{plan.num_steps:,}",
            "?" if forecast.seconds is None else duration(forecast.seconds),
            "" if plan.memory_bytes is None else f"{plan.memory_bytes / 2**30:.2f} GiB",
        )
    return table


def speed_lines(measured: dict[str, Measured | None], tokens_per_second: float | None) -> list[str]:
    """Where the times come from, one line per model."""
    lines = []
    for model, known in measured.items():
        if known:
            lines.append(
                f"{model}: {known.tokens_per_second:,.0f} tokens/s, median of {known.num_runs} trained runs "
                f"on {known.device}"
            )
        elif tokens_per_second is not None:
            lines.append(f"{model}: {tokens_per_second:,.0f} tokens/s (hydra.launcher.tokens_per_second)")
        else:
            lines.append(f"{model}: no trained run to measure; hydra.launcher.tokens_per_second=… gives times")
    return lines


def time_lines(forecasts: Sequence[Forecast], num_devices: Sequence[int]) -> list[str]:
    """Device hours, and for each number of devices the time until the last cell ends."""
    cells = [(each.seconds, each.num_devices) for each in forecasts if each.seconds is not None]
    if len(cells) < len(forecasts):
        return []
    total = sum(seconds * devices for seconds, devices in cells)
    lines = [f"Training that is left, evaluation not counted: {total / 3600:,.2f} device hours"]
    for number in num_devices:
        end = makespan(cells, number)
        busy = total / (end * number) if end else 0.0
        lines.append(f"  on {number} device{'s' if number > 1 else ''}: {duration(end)}, {busy:.0%} busy")
    return lines
