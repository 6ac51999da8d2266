"""Accuracy and macro-F1 of choices, in plain sequences."""

from __future__ import annotations

from collections.abc import Sequence

from bioinstruct.statistics import Estimate, bootstrap_macro_f1, standard_error, wilson_interval


def argmax_choices(
    likelihoods: Sequence[Sequence[float]], texts: Sequence[Sequence[str]]
) -> dict[str, list[int]]:
    """Choices of each item under three rules of lm-evaluation-harness 0.4.13; the first wins a tie.

    `acc`: highest summed log-probability; `acc_norm`: per character of the continuation without its leading
    space;
    `acc_bytes`: per UTF-8 byte of it.
    """
    choices: dict[str, list[int]] = {"acc": [], "acc_norm": [], "acc_bytes": []}
    for values, scored in zip(likelihoods, texts, strict=True):
        choices["acc"].append(_argmax(values))
        choices["acc_norm"].append(_argmax([v / len(t) for v, t in zip(values, scored, strict=True)]))
        choices["acc_bytes"].append(
            _argmax([v / len(t.encode()) for v, t in zip(values, scored, strict=True)])
        )
    return choices


def accuracy(choices: Sequence[int], targets: Sequence[int], *, flavour: str) -> Estimate:
    """Share of right choices with its Wilson interval."""
    right = [float(choice == target) for choice, target in zip(choices, targets, strict=True)]
    low, high = wilson_interval(int(sum(right)), len(right))
    value = sum(right) / max(len(right), 1)
    signature = f"accuracy|rule:{flavour}|ties:first|ci:wilson95"
    return Estimate(value, low, high, len(right), signature, standard_error(right))


def macro_f1(choices: Sequence[int], targets: Sequence[int], *, num_classes: int) -> Estimate:
    """Macro-F1 over all classes, absent ones included as 0; a choice of −1 (unparsed) is always wrong."""
    import sklearn
    from sklearn.metrics import f1_score

    classes = list(range(num_classes))
    value = (
        float(f1_score(targets, choices, labels=classes, average="macro", zero_division=0))
        if targets
        else 0.0
    )
    low, high = bootstrap_macro_f1(choices, targets, num_classes=num_classes)
    signature = (
        f"macro_f1|scikit-learn:{sklearn.__version__}|classes:{num_classes}|zero_division:0|ci:bootstrap1000"
    )
    return Estimate(value, low, high, len(targets), signature)


def _argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda position: values[position])
