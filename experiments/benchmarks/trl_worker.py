"""One timed run of TRL's SFTTrainer, in TRL's own environment; prints one JSON line. Called by training.py.

usage: python trl_worker.py <model folder> <records.json> <packing: 0|1> <rows per step> <steps> <warm-up steps>
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Clock(TrainerCallback):
    """Wall-clock time and real tokens from the end of the warm-up on."""

    def __init__(self, num_warmup: int) -> None:
        self.num_warmup = num_warmup
        self.started = 0.0
        self.tokens = 0

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.num_warmup:
            self.started = time.monotonic()
            self.tokens = 0


def main() -> None:
    folder, records_file, packing, rows, steps, warmup = sys.argv[1:7]
    torch.set_flush_denormal(True)
    records = json.loads(Path(records_file).read_text(encoding="utf-8"))
    data = Dataset.from_list(
        [
            {"input_ids": r["ids"], "completion_mask": [0] * r["prompt"] + [1] * (len(r["ids"]) - r["prompt"])}
            for r in records
        ]
    )
    clock = Clock(int(warmup))
    with tempfile.TemporaryDirectory() as output:
        config = SFTConfig(
            output_dir=output,
            max_length=512,
            packing=packing == "1",
            completion_only_loss=True,
            per_device_train_batch_size=int(rows),
            max_steps=int(steps),
            learning_rate=1e-3,
            use_cpu=True,
            bf16=False,
            fp16=False,
            gradient_checkpointing=False,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            dataloader_pin_memory=False,
            disable_tqdm=True,
            seed=0,
        )
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
        trainer = SFTTrainer(
            model=model,
            args=config,
            train_dataset=data,
            processing_class=AutoTokenizer.from_pretrained(folder),
            peft_config=LoraConfig(
                r=16, lora_alpha=32, lora_dropout=0.0, target_modules=ALL_LINEAR, task_type="CAUSAL_LM"
            ),
            callbacks=[clock],
        )
        inner = trainer.compute_loss

        def counted(model, inputs, *args, **kwargs):
            mask = inputs.get("attention_mask")
            clock.tokens += int(mask.sum()) if mask is not None else inputs["input_ids"].numel()
            return inner(model, inputs, *args, **kwargs)

        trainer.compute_loss = counted
        trainer.train()
        seconds = time.monotonic() - clock.started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(json.dumps({"tokens_per_second": clock.tokens / seconds, "peak_mib": peak, "tokens": clock.tokens}))


if __name__ == "__main__":
    main()
