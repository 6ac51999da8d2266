"""An exported run loads in plain PEFT and transformers, computes what the run computes, and says what it is."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_module
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from bioinstruct.config import TrainConfig, load_train_config, register_schemas, typed_config
from bioinstruct.config.export import ExportConfig
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.model import load_adapter, load_base
from bioinstruct.pipeline import exporting, run_cell
from bioinstruct.pipeline.exporting import export_run
from bioinstruct.runs import RunFolder, read_json, write_json
from tests.cells import small_cell, write_records
from tests.small_model import save_small_llama
from tests.test_config import run

STEP = ("optim.max_steps=2", "optim.lr=0.1", "optim.warmup_fraction=0", "lora.dropout=0")
IDS = torch.tensor([[0, 40, 70, 75, 71, 3, 90, 12]])


@pytest.fixture(scope="module")
def cell(small_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A tuned cell with one score."""
    folder = tmp_path_factory.mktemp("cell")
    config = small_cell(small_llama, write_records(folder), folder / "outputs", *STEP)
    done = RunFolder(run_cell(config))
    estimate = {"value": 0.25, "low": 0.125, "high": 0.5, "n": 40, "signature": "s", "standard_error": None}
    score = {
        "task": "tiny_qa",
        "split": "test",
        "protocol": "alpaca",
        "protocol_hash": "0123456789ab",
        "headline": "accuracy",
        "n": 40,
        "metrics": {"accuracy": estimate},
        "parse_failure_rate": 0.1,
    }
    write_json(done.results_file, {"scores": [score]})
    return config


def run_of(cell: TrainConfig) -> RunFolder:
    (config_file,) = (Path(cell.output_root) / "train").glob("*-all-*/config.yaml")
    return RunFolder(config_file.parent)


def export_config(cell: TrainConfig, *overrides: str) -> ExportConfig:
    register_schemas()
    fixed = [f"run={run_of(cell).run_id}", f"output_root={cell.output_root}", "trainer=cpu", "trainer.threads=1"]
    with initialize_config_module("bioinstruct.conf", version_base="1.3"):
        return typed_config(compose("export", overrides=[*fixed, *overrides]), ExportConfig)


@torch.no_grad()
def logits_of_run(folder: RunFolder) -> torch.Tensor:
    config = load_train_config(folder.config_file)
    model = load_adapter(load_base(config.model, device=torch.device("cpu")), folder.adapter)
    logits: torch.Tensor = model(input_ids=IDS).logits
    return logits


@torch.no_grad()
def logits_of_base(config: TrainConfig) -> torch.Tensor:
    logits: torch.Tensor = load_base(config.model, device=torch.device("cpu"))(input_ids=IDS).logits
    return logits


def test_the_exported_adapter_computes_in_plain_peft_what_the_run_computes(cell: TrainConfig) -> None:
    (adapter,) = export_run(export_config(cell))
    assert adapter == Path(cell.output_root) / "exports" / run_of(cell).run_id / "adapter"
    wanted = logits_of_run(run_of(cell))
    assert (wanted - logits_of_base(cell)).abs().max() > 1e-2
    with torch.no_grad():
        found = AutoPeftModelForCausalLM.from_pretrained(adapter)(input_ids=IDS).logits
    assert (found - wanted).abs().max() < 1e-5


def test_the_merged_model_computes_in_plain_transformers_what_the_run_computes(
    cell: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        _, merged = export_run(export_config(cell, "merge=true"))
    model = AutoModelForCausalLM.from_pretrained(merged)
    with torch.no_grad():
        assert (model(input_ids=IDS).logits - logits_of_run(run_of(cell))).abs().max() < 1e-5
    assert model.config.use_cache
    assert AutoTokenizer.from_pretrained(merged).chat_template is None
    card = (merged / "README.md").read_text(encoding="utf-8")
    change = re.search(r"largest logit change ([0-9.e+-]+)", caplog.text)
    assert change is not None
    assert 0 < float(change[1]) < 1e-5
    assert change[0] in card


def test_the_adapter_keeps_to_what_vllm_reads(cell: TrainConfig) -> None:
    (adapter,) = export_run(export_config(cell, "base_model=meta-llama/Llama-2-7b-hf"))
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == "meta-llama/Llama-2-7b-hf"
    assert (settings["peft_type"], settings["r"], settings["lora_alpha"]) == ("LORA", 4, cell.lora.alpha)
    assert settings["target_modules"] == sorted(cell.lora.target_modules)
    assert (settings["bias"], settings["use_dora"], settings["modules_to_save"]) == ("none", False, None)
    # vllm/lora/utils.py `parse_fine_tuned_lora_name` takes these names only.
    name = r"base_model\.model\.model\.layers\.\d+\.(self_attn|mlp)\.[a-z]+_proj\.lora_[AB]\.weight"
    weights = load_file(adapter / "adapter_model.safetensors")
    assert len(weights) == 2 * 7 * 2
    assert all(re.fullmatch(name, key) for key in weights)


def test_the_card_says_data_scores_settings_and_prompt(cell: TrainConfig) -> None:
    (adapter,) = export_run(export_config(cell, "base_model=meta-llama/Llama-2-7b-hf"))
    card = (adapter / "README.md").read_text(encoding="utf-8")
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata["base_model"] == "meta-llama/Llama-2-7b-hf"
    assert (metadata["library_name"], metadata["license"]) == ("peft", "other")
    state = read_json(run_of(cell).state_file)
    assert re.fullmatch("[0-9a-f]{64}", str(state["data_hash"]))
    assert str(state["data_hash"]) in card
    assert "| tiny_qa (test) | alpaca `0123456789ab` | accuracy | 0.250 [0.125, 0.500] | 40 | 10.0 % |" in card
    training = state["training"]
    assert isinstance(training, dict)
    assert f"| qa | {training['records_per_category']['qa']} |" in card  # type: ignore[index, call-overload]
    assert "| `lora.rank` | 4 |" in card
    assert "| `optim.lr` | 0.1 |" in card
    assert cell.template.with_input in card
    assert cell.template.without_input in card
    assert "Not medical advice" in card
    assert cell.output_root not in card


@pytest.mark.parametrize("kind", ["adapter", "merged"])
def test_the_loading_lines_of_the_card_run(
    cell: TrainConfig, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = {path.name: path for path in export_run(export_config(cell, "merge=true"))}[kind]
    found = re.search("```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    lines = found[1]
    assert len(lines.splitlines()) == 6
    monkeypatch.chdir(folder.parent)
    capsys.readouterr()
    exec(compile(lines, "card", "exec"), {})
    assert capsys.readouterr().out


def test_an_adapter_tuned_on_a_quantised_base_is_merged_into_unquantised_weights(
    tmp_path: Path,
) -> None:
    model = save_small_llama(tmp_path / "model", width=64)  # NF4 counts in blocks of 64
    config = small_cell(model, write_records(tmp_path), tmp_path, *STEP, "model.quantization=nf4")
    folder = RunFolder(run_cell(config))
    _, merged = export_run(export_config(config, "merge=true"))
    card = (merged / "README.md").read_text(encoding="utf-8")
    changes = re.search(r"change ([0-9.e+-]+) by the merge, ([0-9.e+-]+) against the quantised model", card)
    assert changes is not None
    assert float(changes[1]) < 1e-5 < 1e-3 < float(changes[2])
    assert "never merged into those weights: the base was loaded unquantised in float32" in card
    unquantised = replace(config.model, quantization=type(config.model.quantization).none)
    plain = load_adapter(load_base(unquantised, device=torch.device("cpu")), folder.adapter)
    found = AutoModelForCausalLM.from_pretrained(merged)
    assert "quantization_config" not in json.loads((merged / "config.json").read_text(encoding="utf-8"))
    with torch.no_grad():
        assert (found(input_ids=IDS).logits - plain(input_ids=IDS).logits).abs().max() < 1e-5


def test_an_untuned_run_is_refused(cell: TrainConfig) -> None:
    folder = Path(cell.output_root) / "train" / "small-none-01234567"
    untuned = (
        run_of(cell)
        .config_file.read_text(encoding="utf-8")
        .replace("  include:\n  - qa\n  - ie\n  - gen\n", "  include: []\n")
    )
    folder.mkdir()
    (folder / "config.yaml").write_text(untuned, encoding="utf-8")
    with pytest.raises(UserError, match="small-none-01234567 is the untuned model and has no adapter"):
        export_run(replace(export_config(cell), run=folder.name))
    assert not (Path(cell.output_root) / "exports" / folder.name).exists()


def test_an_unfinished_run_is_refused(cell: TrainConfig) -> None:
    folder = Path(cell.output_root) / "train" / "small-all-s1-01234567"
    folder.mkdir()
    (folder / "config.yaml").write_bytes(run_of(cell).config_file.read_bytes())
    try:
        with pytest.raises(PrerequisiteError, match="not trained to its end; run its bioinstruct-train command again"):
            export_run(ExportConfig(run=folder.name, trainer=cell.trainer, output_root=cell.output_root))
    finally:
        (folder / "config.yaml").unlink()
        folder.rmdir()


def test_a_failing_export_leaves_the_one_before(cell: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    (adapter,) = export_run(export_config(cell))
    before = {path.name: path.read_bytes() for path in adapter.iterdir()}

    def fail(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "make_model_card", fail)
    with pytest.raises(KeyboardInterrupt):
        export_run(export_config(cell))
    assert {path.name: path.read_bytes() for path in adapter.iterdir()} == before
    assert not list(adapter.parent.glob(".*"))


class FakeHub:
    """Takes the place of HfApi and remembers what it was asked."""

    calls: list[tuple[object, ...]]
    error: Exception | None = None

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        if self.error:
            raise self.error
        self.calls.append(("create", repo_id, private, exist_ok))

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        self.calls.append(("upload", repo_id, folder_path.name, sorted(path.name for path in folder_path.iterdir())))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub()
    fake.calls = []
    monkeypatch.setattr(exporting, "HfApi", lambda: fake)
    return fake


def test_pushing_makes_private_repositories_and_sends_both_folders(cell: TrainConfig, hub: FakeHub) -> None:
    config = export_config(cell, "push_to_hub=lab/qa", "base_model=meta-llama/Llama-2-7b-hf", "merge=true")
    adapter, merged = export_run(config)
    assert hub.calls[:2] == [("create", "lab/qa", True, True), ("create", "lab/qa-merged", True, True)]
    files = ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert hub.calls[2] == ("upload", "lab/qa", "adapter", files)
    assert hub.calls[3][:3] == ("upload", "lab/qa-merged", "merged")
    assert 'from_pretrained("lab/qa", ' in (adapter / "README.md").read_text(encoding="utf-8")
    assert 'from_pretrained("lab/qa-merged", ' in (merged / "README.md").read_text(encoding="utf-8")


def test_a_refusing_hub_is_one_line_before_any_work(cell: TrainConfig, hub: FakeHub) -> None:
    hub.error = OSError("401 Client Error.\nInvalid username or password.")
    with pytest.raises(PrerequisiteError, match=r"^push_to_hub=lab/qa: 401 Client Error. Log in with `hf auth login`"):
        export_run(export_config(cell, "push_to_hub=lab/qa", "base_model=a/b"))
    assert hub.calls == []


def test_a_model_for_the_hub_names_no_local_folder_as_its_base(cell: TrainConfig, hub: FakeHub) -> None:
    with pytest.raises(UserError, match="give base_model=<owner/name>"):
        export_run(export_config(cell, "push_to_hub=lab/qa"))
    assert hub.calls == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run=null", "run is not set; give run=<run_id> of a tuned model"),
        ("run=../x", "run='../x' is not a name"),
        ("push_to_hub=lab", "push_to_hub='lab' is no Hub repository; write <owner>/<name>"),
    ],
)
def test_bad_values_are_refused(cell: TrainConfig, override: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        export_config(cell, override)


def test_the_command_prints_the_folders(cell: TrainConfig, tmp_path: Path) -> None:
    result = run("export", f"run={run_of(cell).run_id}", f"output_root={cell.output_root}", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(Path(cell.output_root) / "exports" / run_of(cell).run_id / "adapter")
    unknown = run("export", "run=none-such", f"output_root={cell.output_root}", folder=tmp_path)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert unknown.stderr.startswith("error: no run 'none-such' below ")
