"""The generation loop: requests in order, answers parsed, filtered and kept until the dataset has its size.

A dataset's folder holds requests.jsonl (the paid log), items.jsonl (every parsed item with its verdict), and
records.jsonl with summary.json. Only the log costs money: the other files are made from it again in every
run, so that other filters or a larger size replay what was paid for.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bioinstruct.building.filters import Item, ItemFilter, Rejection
from bioinstruct.building.progress import GenerationProgress
from bioinstruct.building.prompting import make_requests, parse_answer
from bioinstruct.building.seeds import Seed
from bioinstruct.config.building import GenerateConfig
from bioinstruct.errors import UserError
from bioinstruct.llm.budget import NANO, Budget
from bioinstruct.llm.exchange import BudgetError, ChatAnswer, EndpointError
from bioinstruct.llm.request_log import RequestLog
from bioinstruct.llm.sending import Sender
from bioinstruct.runs import write_atomic, write_json

REQUESTS_FILE = "requests.jsonl"
ITEMS_FILE = "items.jsonl"
RECORDS_FILE = "records.jsonl"
SUMMARY_FILE = "summary.json"


@dataclass
class Tally:
    """What came out so far."""

    kept: list[Item] = field(default_factory=list)
    num_requests: int = 0
    num_rejected: int = 0
    rejected_by: Counter[str] = field(default_factory=Counter)
    """Items per filter that rejected them; one item may count for several."""
    problems: Counter[str] = field(default_factory=Counter)
    """Answers by what could not be parsed in them."""
    requests_since_kept: int = 0

    def take(self, item: Item, rejections: Sequence[Rejection]) -> None:
        if rejections:
            self.num_rejected += 1
            self.rejected_by.update({rejection.filter for rejection in rejections})
        else:
            self.kept.append(item)


@dataclass(frozen=True)
class Outcome:
    """A complete generation: what came out, and all that was spent on it, in billionths of a dollar."""

    tally: Tally
    spent: int


def expected_requests(tally: Tally, *, num_records: int, num_tasks: int) -> int:
    """Requests still needed at the mean yield so far (of answers in order, so that it is reproducible)."""
    mean_kept = (len(tally.kept) + num_tasks) / (tally.num_requests + 1)
    return max(1, math.ceil((num_records - len(tally.kept)) / mean_kept))


def generate(config: GenerateConfig, seeds: Sequence[Seed], *, folder: Path, sender: Sender) -> Outcome:
    """Generates until `num_records` are kept and writes the dataset's files.

    Raises BudgetError or EndpointError when no further request can be sent, UserError when
    `patience_requests` answers in a row brought nothing; what was kept until then is written before.
    """
    tally = Tally()
    filters = ItemFilter(config.filters)
    filters.protect(seed.item.instruction for seed in seeds)
    with RequestLog(folder / REQUESTS_FILE) as log:
        budget = sender.open_budget(config.budget, log)
        requests = make_requests(seeds, prompt=config.prompt, llm=config.llm, seed=config.seed)

        def ahead() -> int:
            return expected_requests(tally, num_records=config.num_records, num_tasks=config.prompt.num_tasks)

        answers = sender.send(requests, log=log, budget=budget, ahead=ahead)
        try:
            _collect(config, answers, tally=tally, filters=filters, budget=budget, items_file=folder / ITEMS_FILE)
        except (BudgetError, EndpointError) as error:
            _write_dataset(folder, tally, budget, status=str(error))
            raise
        finally:
            answers.close()
        complete = len(tally.kept) == config.num_records
        _write_dataset(folder, tally, budget, status="complete" if complete else "no more records")
    if not complete:
        raise UserError(
            f"{config.patience_requests} answers in a row brought no record ({_explain(tally)}); "
            f"{len(tally.kept)} of {config.num_records} are kept. Look into {folder / ITEMS_FILE}, then "
            "change prompt, filters or model"
        )
    return Outcome(tally, budget.spent)


def _collect(
    config: GenerateConfig,
    answers: Iterator[ChatAnswer],
    *,
    tally: Tally,
    filters: ItemFilter,
    budget: Budget,
    items_file: Path,
) -> None:
    """Takes answers in order until the dataset is complete or patience ends."""
    with items_file.open("w", encoding="utf-8") as file, GenerationProgress(config.num_records) as progress:
        while len(tally.kept) < config.num_records and tally.requests_since_kept < config.patience_requests:
            answer = next(answers)
            before = len(tally.kept)
            parsed = parse_answer(answer, config.prompt)
            tally.num_requests += 1
            tally.problems.update(problem.split(" (")[0] for problem in parsed.problems)
            for number, item in enumerate(parsed.items):
                if len(tally.kept) == config.num_records:
                    break
                rejections = filters.judge(item)
                tally.take(item, rejections)
                row = {
                    "request": answer.request_id,
                    "item": number,
                    **item._asdict(),
                    "kept": not rejections,
                    "rejected_by": [asdict(rejection) for rejection in rejections],
                }
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            tally.requests_since_kept = 0 if len(tally.kept) > before else tally.requests_since_kept + 1
            progress.update(kept=len(tally.kept), rejected=tally.num_rejected, spent=budget.spent)


def _write_dataset(folder: Path, tally: Tally, budget: Budget, *, status: str) -> None:
    lines = [json.dumps(item._asdict(), ensure_ascii=False) + "\n" for item in tally.kept]
    write_atomic(folder / RECORDS_FILE, "".join(lines))
    summary = {
        "status": status,
        "num_records": len(tally.kept),
        "num_requests": tally.num_requests,
        "num_rejected": tally.num_rejected,
        "rejected_by": dict(tally.rejected_by.most_common()),
        "problems": dict(tally.problems.most_common()),
        "spent_usd": budget.spent / NANO,
    }
    write_json(folder / SUMMARY_FILE, summary)


def _explain(tally: Tally) -> str:
    reasons = [*tally.rejected_by.most_common(2), *tally.problems.most_common(2)]
    return ", ".join(f"{name}: {number}" for name, number in reasons) or "empty answers"
