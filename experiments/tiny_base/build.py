"""Rebuilds the shipped tiny LLaMA: running text, tokenizer, pre-training, cloze probes, recipe.

    python experiments/tiny_base/build.py [--output FOLDER] [--threads 1]

Everything follows from the seed; with other threads or on another processor rounding differs, and so
do the weights, though not what they have learnt.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import math
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bioinstruct.runs import write_json
from bioinstruct.tiny import MODEL_FOLDER
from bioinstruct.tiny.names import vocabulary_words
from bioinstruct.tiny.probes import cloze_probes, probe_scores
from bioinstruct.tiny.texts import corpus_hash, running_text
from bioinstruct.tiny.world import build_world

logger = logging.getLogger("tiny_base")

BOS, EOS, PAD = "<s>", "</s>", "<pad>"


@dataclass(frozen=True)
class Recipe:
    """Every number of the recipe; recorded with the model."""

    seed: int = 0
    """World, running text, initial weights and order."""
    num_documents: int = 150_000
    vocabulary_size: int = 1_800
    """At most; specials, bytes, and the names and values of the world included."""
    hidden_size: int = 128
    num_layers: int = 4
    num_heads: int = 4
    mlp_size: int = 384
    max_positions: int = 2_048
    sequence_tokens: int = 256
    sequences_per_step: int = 8
    learning_rate: float = 3e-3
    final_learning_rate: float = 1e-4
    warmup_steps: int = 200
    weight_decay: float = 0.1
    clip_norm: float = 1.0


def main() -> None:
    """Builds the model into `--output` and prints its probe scores."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=MODEL_FOLDER, help="folder of the model (default: shipped)"
    )
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1, the recipe's)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)  # without it some runs fall to a tenth of their speed

    recipe = Recipe()
    documents = list(running_text(recipe.num_documents, seed=recipe.seed))
    tokenizer = train_tokenizer(documents, recipe)
    model = build_model(tokenizer, recipe)
    num_tokens = pretrain(model, pack(documents, tokenizer, recipe), recipe)
    model.eval()
    scores = probe_scores(model, tokenizer, cloze_probes(build_world(recipe.seed)))
    logger.info("probes: %s", scores)

    model.save_pretrained(arguments.output)
    tokenizer.save_pretrained(arguments.output)
    write_json(
        arguments.output / "recipe.json",
        {
            "recipe": asdict(recipe),
            "corpus_sha256": corpus_hash(documents),
            "build_sha256": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
            "num_tokens_seen": num_tokens,
            "probes": scores,
        },
    )


def train_tokenizer(documents: Sequence[str], recipe: Recipe) -> PreTrainedTokenizerFast:
    """Byte-level BPE that keeps case and round-trips any UTF-8; `encode` adds one BOS, as LLaMA's does.

    The world's names, values and numbers are entries of their own, so that a name is the same token at the
    start of a line and after a space; the merges are learnt on what is left of the running text.
    """
    world = build_world(recipe.seed)
    entities = [drug.name for drug in world.drugs] + [condition.name for condition in world.conditions]
    words = [*entities, *vocabulary_words()]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary_size - len(words),
        min_frequency=100,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    known = re.compile("|".join(rf"\b{word}\b" for word in words))
    tokenizer.train_from_iterator((known.sub(" ", document) for document in documents), trainer)
    tokenizer.add_tokens([AddedToken(word, single_word=word.isalnum(), normalized=False) for word in words])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A {BOS} $B",
        special_tokens=[(BOS, tokenizer.token_to_id(BOS))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=recipe.max_positions,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> LlamaForCausalLM:
    """A LLaMA with fresh weights from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.hidden_size,
            intermediate_size=recipe.mlp_size,
            num_hidden_layers=recipe.num_layers,
            num_attention_heads=recipe.num_heads,
            max_position_embeddings=recipe.max_positions,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    logger.info("%d parameters, %d token entries", model.num_parameters(), len(tokenizer))
    return model


def pack(documents: Sequence[str], tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> torch.Tensor:
    """The running text as rows of equal length: BOS, document, EOS, one after the other."""
    encoded = tokenizer(list(documents), return_attention_mask=False)["input_ids"]
    stream = torch.tensor([token for ids in encoded for token in (*ids, tokenizer.eos_token_id)])
    num_rows = len(stream) // recipe.sequence_tokens
    return stream[: num_rows * recipe.sequence_tokens].view(num_rows, recipe.sequence_tokens)  # (N, T)


def pretrain(model: LlamaForCausalLM, rows: torch.Tensor, recipe: Recipe) -> int:
    """Trains in place on every row once, in file order; returns the number of tokens seen."""
    num_steps = len(rows) // recipe.sequences_per_step
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=recipe.weight_decay
    )
    began = time.monotonic()
    model.train()
    for step in range(num_steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, num_steps, recipe)
        batch = rows[step * recipe.sequences_per_step : (step + 1) * recipe.sequences_per_step]  # (B, T)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=batch, use_cache=False).logits  # (B, T, V)
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == num_steps - 1:
            seen = (step + 1) * batch.numel()
            speed = seen / (time.monotonic() - began)
            logger.info("step %d of %d, loss %.3f, %.0f tokens/s", step, num_steps, loss.item(), speed)
    return num_steps * recipe.sequences_per_step * recipe.sequence_tokens


def learning_rate(step: int, num_steps: int, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine down to the final learning rate."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, num_steps - recipe.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return recipe.final_learning_rate + (recipe.learning_rate - recipe.final_learning_rate) * cosine


if __name__ == "__main__":
    main()
