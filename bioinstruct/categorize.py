"""bioinstruct-categorize: a category for every record, offline or by an LLM, as a file for data.labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from bioinstruct.command import log_to_console, run_hydra, user_errors
from bioinstruct.config.building import CategorizeConfig, LabelBackend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bioinstruct.categorizer.agreement import Agreement
    from bioinstruct.categorizer.labelling import Labelling
    from bioinstruct.records import Record, RecordSet

HUB = "hub"


@hydra.main(version_base="1.3", config_path="pkg://bioinstruct.conf", config_name="categorize")
def categorize(config: DictConfig) -> None:
    """Labels the records, writes the label file and says how far it can be trusted."""
    with user_errors():
        from bioinstruct.building.checks import check_categorize
        from bioinstruct.config import typed_config

        typed = typed_config(config, CategorizeConfig)
        check_categorize(typed)
        log_to_console()
        record_set = _load(typed)
        records = record_set.records[: typed.limit]
        if typed.dry_run and typed.backend is LabelBackend.llm:
            _print_estimate(typed, records)
        else:
            _label(typed, record_set, records)


def _load(config: CategorizeConfig) -> RecordSet:
    if config.input == HUB:
        from bioinstruct.corpus import load_record_set

        return load_record_set(config.hub)
    from bioinstruct.records import read_records

    return read_records(Path(config.input).expanduser())


def _label(config: CategorizeConfig, record_set: RecordSet, records: Sequence[Record]) -> None:
    from bioinstruct.categorizer.labelling import compare_labels, label_offline, write_labels

    stem = "bioinstruct" if config.input == HUB else Path(config.input).stem
    name = config.name or f"{stem}-{config.backend.value}"
    path = Path(config.output_root) / "labels" / f"{name}.jsonl"
    if config.backend is LabelBackend.offline:
        labelling = label_offline(records)
    else:
        labelling = _ask(config, records, path.with_suffix(".requests.jsonl"))
    write_labels(labelling, path)
    _print_counts(labelling)
    if config.backend is LabelBackend.offline:
        _print_shipped_report()
    if config.reference is not None:
        reference = Path(config.reference).expanduser()
        found = compare_labels(labelling, record_set, reference, field=config.reference_field)
        print(f"\nagreement with {config.reference_field} of {reference.name}:")
        for target, agreement in found.items():
            _print_agreement(target, agreement)
        if config.backend is LabelBackend.offline:
            print("  labels that the model was trained on agree by construction: trust the cross-validation")
    print(f"\nlabels: {path} (use: data.labels={path})")


def _ask(config: CategorizeConfig, records: Sequence[Record], log_file: Path) -> Labelling:
    from bioinstruct.categorizer.labelling import label_by_llm
    from bioinstruct.llm.sending import Sender
    from bioinstruct.llm_client import OpenAiClient

    sender = Sender(config.llm, config.prices, OpenAiClient(config.llm))
    return label_by_llm(records, prompt=config.instruct, sender=sender, budget_config=config.budget, log_file=log_file)


def _print_counts(labelling: Labelling) -> None:
    counts = labelling.counts()
    total = sum(counts.values())
    print(f"{total} records: " + ", ".join(f"{name} {n} ({n / total:.1%})" for name, n in counts.most_common()))
    if labelling.num_unlabelled:
        print(f"{labelling.num_unlabelled} records got no label: the answer named none or several categories")
    sure = labelling.share_above(0.8)
    if sure is not None:
        print(f"confidence of 0.8 or more: {sure:.1%} of the records")


def _print_shipped_report() -> None:
    """The cross-validation of the shipped model: its labels of its own training records prove nothing."""
    from bioinstruct.categorizer.labelling import shipped_agreements

    print("\nthe shipped model, cross-validated on 2,501 BioInstruct records (experiments/categorizer):")
    for title, agreement in shipped_agreements():
        _print_agreement(title, agreement)


def _print_agreement(title: str, agreement: Agreement) -> None:
    f1 = " / ".join(f"{value:.2f}" for value in agreement.f1.values())
    print(
        f"  {title:<42} macro F1 qa/ie/gen {agreement.macro_f1:.3f}   kappa {agreement.kappa:.3f}   "
        f"F1 {' / '.join(agreement.f1)} {f1}   n {agreement.num_records}"
    )


def _print_estimate(config: CategorizeConfig, records: Sequence[Record]) -> None:
    from bioinstruct.categorizer.labelling import make_requests
    from bioinstruct.llm.budget import NANO, estimate_prompt_tokens
    from bioinstruct.llm.sending import model_price

    price = model_price(config.llm, config.prices, capped=config.budget.max_usd is not None)
    requests = list(make_requests(records, prompt=config.instruct, llm=config.llm))
    tokens = sum(map(estimate_prompt_tokens, requests))
    likely, worst = price.cost(tokens, 3 * len(requests)), sum(map(price.worst_cost, requests))
    print(
        f"{len(requests)} requests with {config.llm.model}, about {tokens:,} prompt tokens: about "
        f"{likely / NANO:.2f} dollars (prices of {config.prices.as_of}), at most {worst / NANO:.2f}"
    )
    print("dry run: nothing was sent")


def main() -> None:
    run_hydra(categorize)


if __name__ == "__main__":
    main()
