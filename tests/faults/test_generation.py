"""Generation against a server that injects faults: nothing lost, doubled, overpaid or told."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bioinstruct.building.loop import Outcome, generate
from bioinstruct.building.seeds import load_seeds
from bioinstruct.config.building import (
    AnswerFormat,
    BudgetConfig,
    GenerateConfig,
    LlmConfig,
    LlmMode,
    PriceConfig,
    PricesConfig,
    PromptConfig,
)
from bioinstruct.llm.exchange import BudgetError, EndpointError
from bioinstruct.llm.sending import Sender
from bioinstruct.llm_client import OpenAiClient
from bioinstruct.runs import read_json
from tests.building.profiles import load_profile
from tests.faults.openai_server import ERRORS, FaultServer, ServerState

KEY = "sk-test-never-to-be-seen-0123456789"
KEY_VARIABLE = "GENERATION_TEST_KEY"
PRICE = PriceConfig(input_usd=2.0, output_usd=8.0)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


def make_config(server: FaultServer, *, num_records: int = 60, max_usd: float | None = None) -> GenerateConfig:
    llm = LlmConfig(
        model="m",
        base_url=server.base_url,
        api_key_env=KEY_VARIABLE,
        max_tokens=400,
        timeout_seconds=10.0,
        backoff_seconds=0.01,
        batch_poll_seconds=0.01,
    )
    prompt = PromptConfig(name="t", format=AnswerFormat.json_schema, num_tasks=6, user="{num_tasks} {examples}")
    return GenerateConfig(
        name="t",
        num_records=num_records,
        llm=llm,
        prompt=prompt,
        filters=load_profile("alpaca"),
        prices=PricesConfig(as_of="today", models={"m": PRICE}),
        budget=BudgetConfig(max_usd=max_usd),
        output_root="unused",
        data_root="unused",
    )


def run(config: GenerateConfig, folder: Path) -> Outcome:
    seeds = load_seeds(None, num_examples=3)
    sender = Sender(config.llm, config.prices, OpenAiClient(config.llm))
    return generate(config, seeds, folder=folder, sender=sender)


def read_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def charged_usd(state: ServerState) -> float:
    return (state.prompt_tokens * PRICE.input_usd + state.completion_tokens * PRICE.output_usd) / 1e6


def test_faults_change_neither_number_nor_content_nor_order(tmp_path: Path) -> None:
    state = ServerState(fault_share=0.5, errors=(*ERRORS, "timeout"))
    with FaultServer(ServerState()) as calm, FaultServer(state) as rough:
        run(make_config(calm), tmp_path / "calm")
        config = make_config(rough)
        config.llm.timeout_seconds = 0.8
        run(config, tmp_path / "rough")
        assert sum(rough.state.received.values()) > len(rough.state.received)
    records = read_lines(tmp_path / "rough" / "records.jsonl")
    assert len(records) == 60
    assert len({record["instruction"] for record in records}) == 60
    for name in ("records.jsonl", "items.jsonl"):
        assert (tmp_path / "rough" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()


def test_every_item_has_a_verdict_and_rejected_ones_a_reason(tmp_path: Path) -> None:
    with FaultServer(ServerState()) as server:
        outcome = run(make_config(server), tmp_path)
    items = read_lines(tmp_path / "items.jsonl")
    assert all(bool(item["kept"]) != bool(item["rejected_by"]) for item in items)
    assert sum(bool(item["kept"]) for item in items) == 60
    assert {"similarity", "length"} <= set(outcome.tally.rejected_by)
    assert "stopped by the content filter" in outcome.tally.problems


def test_a_finished_dataset_is_made_again_without_a_request(tmp_path: Path) -> None:
    with FaultServer(ServerState()) as server:
        first = run(make_config(server), tmp_path)
        content, received = (tmp_path / "records.jsonl").read_bytes(), sum(server.state.received.values())
        again = run(make_config(server), tmp_path)
        assert sum(server.state.received.values()) == received
    assert (tmp_path / "records.jsonl").read_bytes() == content
    assert again.spent == first.spent


def test_a_larger_dataset_continues_the_smaller_one(tmp_path: Path) -> None:
    with FaultServer(ServerState(fault_share=0.3)) as server:
        run(make_config(server, num_records=30), tmp_path)
        small = read_lines(tmp_path / "records.jsonl")
        run(make_config(server, num_records=60), tmp_path)
    assert read_lines(tmp_path / "records.jsonl")[:30] == small


def test_the_budget_is_never_exceeded_and_more_of_it_goes_on(tmp_path: Path) -> None:
    with FaultServer(ServerState(fault_share=0.4)) as server:
        config = make_config(server, max_usd=0.05)
        config.llm.concurrency = 2
        with pytest.raises(BudgetError, match=r"budget spent.*raise budget\.max_usd"):
            run(config, tmp_path)
        assert 0 < charged_usd(server.state) <= 0.05
        assert 0 < len(read_lines(tmp_path / "records.jsonl")) < 60
        spent = read_json(tmp_path / "summary.json")["spent_usd"]
        assert isinstance(spent, float)
        assert charged_usd(server.state) <= spent <= 0.05
        run(make_config(server, max_usd=2.0), tmp_path)
    assert len(read_lines(tmp_path / "records.jsonl")) == 60


@pytest.mark.parametrize(
    ("refuse", "message"),
    [("401", "refuses the key in"), ("404", "does not know llm.model"), ("quota", "exceeded your current quota")],
)
def test_a_fatal_error_stops_at_once_and_does_not_tell_the_key(tmp_path: Path, refuse: str, message: str) -> None:
    with FaultServer(ServerState(refuse=refuse)) as server:
        config = make_config(server)
        with pytest.raises(EndpointError, match=message) as caught:
            run(config, tmp_path)
        assert server.state.received["refused"] <= config.llm.concurrency
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_key_reaches_the_server_and_no_file(tmp_path: Path) -> None:
    with FaultServer(ServerState(fault_share=0.3)) as server:
        config = make_config(server, num_records=10)
        run(config, tmp_path)
        assert server.state.keys == {f"Bearer {KEY}"}
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.structured(config)))
    files = list(tmp_path.iterdir())
    assert len(files) == 5
    assert not any(KEY.encode() in file.read_bytes() for file in files)


def test_endless_faults_end_in_one_message(tmp_path: Path) -> None:
    with FaultServer(ServerState(fault_share=1.0)) as server:
        config = make_config(server)
        config.llm.max_attempts = 2
        with pytest.raises(EndpointError, match=r"gave up on r0000.* after 2 attempts"):
            run(config, tmp_path)


def test_the_numbered_format_reaches_the_target_too(tmp_path: Path) -> None:
    with FaultServer(ServerState(fault_share=0.3)) as server:
        config = make_config(server, num_records=20)
        config.prompt.format = AnswerFormat.numbered
        run(config, tmp_path)
    assert len(read_lines(tmp_path / "records.jsonl")) == 20


@pytest.mark.parametrize("fault_share", [0.0, 0.5])
def test_batches_bring_the_same_records_as_single_requests(tmp_path: Path, fault_share: float) -> None:
    with FaultServer(ServerState(fault_share=fault_share)) as server:
        run(make_config(server), tmp_path / "single")
        server.state.received.clear()
        config = make_config(server)
        config.llm.mode = LlmMode.batch
        run(config, tmp_path / "batch")
    single, batch = (tmp_path / name / "records.jsonl" for name in ("single", "batch"))
    assert batch.read_bytes() == single.read_bytes()


@pytest.mark.parametrize("last_event", ["batch_begins", "batch_created"])
def test_a_batch_that_was_begun_is_collected_and_not_paid_twice(tmp_path: Path, last_event: str) -> None:
    with FaultServer(ServerState()) as server:
        config = make_config(server)
        config.llm.mode = LlmMode.batch
        run(config, tmp_path)
        log, num_batches = tmp_path / "requests.jsonl", len(server.state.batches)
        content = (tmp_path / "records.jsonl").read_bytes()
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        end = next(i for i, line in enumerate(lines) if json.loads(line)["event"] == last_event)
        log.write_text("".join(lines[: end + 1]), encoding="utf-8")
        received = sum(server.state.received.values())
        first_batch = sum('"sent"' in line for line in lines[:end])
        run(config, tmp_path)
        assert sum(server.state.received.values()) == 2 * received - first_batch
        assert len(server.state.batches) == 2 * num_batches - 1
    assert (tmp_path / "records.jsonl").read_bytes() == content


def start_command(server: FaultServer, output_root: Path, *, num_records: int) -> subprocess.Popen[str]:
    overrides = [
        f"num_records={num_records}",
        f"llm.base_url={server.base_url}",
        f"llm.api_key_env={KEY_VARIABLE}",
        "llm.backoff_seconds=0.02",
        "prompt.num_tasks=6",
        "budget.max_usd=20",
        f"output_root={output_root}",
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "bioinstruct.generate", *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )


def logged_answers(folder: Path) -> list[str]:
    log = folder / "requests.jsonl"
    content = log.read_bytes() if log.is_file() else b""
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    return [row["id"] for row in map(json.loads, lines) if row["event"] == "answer"]


def kill_and_resume(tmp_path: Path, *, num_kills: int, num_records: int) -> None:
    """Kills the command at random moments after its first request, then lets it finish; checks what it did."""
    rng = random.Random(num_kills)
    state = ServerState(fault_share=0.3, delay_seconds=0.15)
    with FaultServer(state) as server:
        folder = tmp_path / "datasets" / "generated"
        for kill in range(num_kills):
            paid_before, received_before = set(logged_answers(folder)), state.received.copy()
            process = start_command(server, tmp_path, num_records=num_records)
            deadline = time.monotonic() + 30
            while state.received == received_before and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            assert process.poll() is None, f"ended before kill {kill}: {process.communicate()[0]}"
            time.sleep(rng.random() * 0.12)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert all(state.received[name] == received_before[name] for name in paid_before)
        process = start_command(server, tmp_path, num_records=num_records)
        output = process.communicate(timeout=60)[0]
        assert process.returncode == 0, output
        answers = logged_answers(folder)
        assert len(answers) == len(set(answers))
        assert KEY not in output
    with FaultServer(ServerState()) as calm:
        reference = start_command(calm, tmp_path / "calm", num_records=num_records)
        assert reference.wait() == 0
    expected = tmp_path / "calm" / "datasets" / "generated" / "records.jsonl"
    assert (folder / "records.jsonl").read_bytes() == expected.read_bytes()


def test_killed_generation_resumes_without_paying_twice(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, num_kills=1, num_records=60)


@pytest.mark.faults
def test_twenty_random_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, num_kills=20, num_records=300)
