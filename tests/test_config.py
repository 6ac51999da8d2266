"""The commands compose their configuration anywhere, and refuse what cannot work with one message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from bioinstruct.config import TrainConfig, load_train_config, register_schemas, save_config, typed_config
from bioinstruct.config.compose import category_label

CONF = Path(__file__).parents[1] / "conf"
TINY = ["model=tiny", "data=tiny", "tasks=tiny"]


def compose_train(*overrides: str) -> TrainConfig:
    register_schemas()
    with initialize_config_module("bioinstruct.conf", version_base="1.3"):
        return typed_config(compose("train", overrides=list(overrides)), TrainConfig)


def run(command: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    module = [sys.executable, "-m", f"bioinstruct.{command}", *arguments]
    return subprocess.run(module, capture_output=True, text=True, cwd=folder, check=False)


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("group", ["model", "lora", "template", "data", "category", "optim", "trainer", "logger"])
def test_every_option_of_a_group_composes(group: str) -> None:
    names = options(group)
    assert names
    for name in names:
        extra = [f"{group}.path=x"] if name == "local" else []
        compose_train(*(o for o in TINY if not o.startswith(f"{group}=")), f"{group}={name}", *extra)


def test_every_experiment_and_suite_composes() -> None:
    experiments, suites = options("experiment"), options("tasks")
    assert {"slice", "tiny"} <= set(experiments)
    assert {"qa", "ie", "gen", "open", "tiny", "paper"} <= set(suites)
    for name in experiments:
        assert compose_train(f"experiment={name}").experiment_name == name
    for name in suites:
        tasks = compose_train("model=tiny", "data=tiny", f"tasks={name}").tasks
        assert tasks is not None
        assert tasks.name == name


def test_the_command_line_beats_the_experiment_which_beats_the_file() -> None:
    assert compose_train().optim.records_per_step == 128
    assert compose_train("experiment=slice").optim.records_per_step == 32
    assert compose_train("experiment=slice", "optim.records_per_step=7").optim.records_per_step == 7


@pytest.mark.parametrize("name", options("category"))
def test_category_labels_are_derived_from_the_subset(name: str) -> None:
    assert category_label(compose_train(*TINY, f"category={name}").category) == name


def test_other_can_be_held_into_every_tuned_cell() -> None:
    assert category_label(compose_train(*TINY, "category=qa", "category.always=[other]").category) == "qa_other"
    assert category_label(compose_train(*TINY, "category=none", "category.always=[other]").category) == "none"


def test_a_config_survives_being_saved(tmp_path: Path) -> None:
    config = compose_train("experiment=slice", "category=qa_ie")
    save_config(config, tmp_path / "config.yaml")
    assert load_train_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr=-1", "optim.lr=-1.0 is out of range; allowed: > 0"),
        ("+optim.foo=1", "Key 'foo' not in 'OptimConfig'"),
        ("optim.foo=1", "Key 'foo' not in 'OptimConfig'"),
        ("optim.lr=fast", "could not be converted to Float"),
        ("category.include=[q_a]", "category.include has unknown 'q_a'; known: qa, ie, gen, other"),
        ("category=qaa", "Could not find 'category/qaa'"),
        ("tasks=all", "Could not find 'tasks/all'"),
        ("sweep_name=../../x", "sweep_name='../../x' is not a name"),
        ("sweep=category_ablation", "write: bioinstruct-train -m sweep=category_ablation"),
        ("model.quantization=int4", "expected one of [none, nf4, int8]"),
        ("lora.target_modules=[q]", "lora.target_modules='q' is unknown"),
        ("trainer.tokens_per_batch=100", "below data.max_length_tokens=512"),
        ("data.validation_fraction=0.9", "allowed: <= 0.5"),
        ("optim.patience=2", None),
        ("data=local", "data.path"),
    ],
)
def test_bad_values_end_with_one_message_and_nothing_written(
    tmp_path: Path, override: str, message: str | None
) -> None:
    if message is None:
        compose_train(*TINY, override)
        return
    arguments = [o for o in TINY if o.split("=")[0] != override.split("=")[0]]
    result = run("train", *arguments, override, folder=tmp_path)
    assert result.returncode != 0
    assert message in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_name_that_leaves_the_output_folder_is_refused(tmp_path: Path) -> None:
    result = run("train", "-m", *TINY, "sweep=category_ablation", "sweep_name=../../x", folder=tmp_path)
    assert result.returncode != 0
    assert "sweep_name='../../x' is not a name" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_composing_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['train', '--cfg', 'job', 'model=tiny']\n"
        "from bioinstruct.train import main\n"
        "try: main()\n"
        "finally: print('HEAVY', sorted({'torch', 'transformers', 'pandas', 'numpy', 'wandb'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "HEAVY []" in result.stdout


def test_a_users_own_configs_are_found(tmp_path: Path) -> None:
    (tmp_path / "mine" / "optim").mkdir(parents=True)
    (tmp_path / "mine" / "optim" / "gentle.yaml").write_text("# mine\ndefaults: [default]\nlr: 1e-5\n")
    result = run("train", "--config-dir", "mine", "--cfg", "job", *TINY, "optim=gentle", folder=tmp_path)
    assert "lr: 1.0e-05" in result.stdout, result.stderr
