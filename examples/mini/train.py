"""Train mini and export it: `python -m examples.mini.train --steps 3000 --minutes 60`."""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from examples.mini.checkpoint import load_state, save_state
from examples.mini.documents import BATCH_TOKENS, IGNORED, Batch, Encoder, batches
from examples.mini.export import export
from examples.mini.mixture import training_problems
from examples.mini.model import build_model
from examples.mini.muon import Muon
from examples.mini.tokenizer import train_tokenizer

BATCHES_PER_STEP = 4
EXPECTED_TARGETS = 0.3 * BATCH_TOKENS * BATCHES_PER_STEP
"""Assistant tokens of a usual step: a fixed divisor, so that every token weighs the same."""
MATRIX_LR, OTHER_LR = 5e-3, 4e-3
WARMUP = 0.02
"""Share of the run in which the learning rate rises."""
FLOOR = 0.02
"""Learning rate at the end, relative to its peak."""
SAVE_EVERY_S, LOG_EVERY = 240.0, 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run is asked to do."""

    steps: int
    minutes: float
    """Wall clock after which the run ends, its learning rate lowered in time."""
    seed: int
    device: str
    out: Path
    work: Path
    """Folder of the resumable state."""
    is_resumed: bool
    is_compiled: bool


def parse_options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("runtime/assets/mini"))
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    return Options(
        steps=args.steps,
        minutes=args.minutes,
        seed=args.seed,
        device=args.device,
        out=args.out,
        work=args.work,
        is_resumed=args.resume,
        is_compiled=args.compile,
    )


def rate(progress: float) -> float:
    """Learning rate relative to its peak: a short rise, then a cosine to the floor."""
    if progress < WARMUP:
        return max(progress, 1e-4) / WARMUP
    fall = min(1.0, (progress - WARMUP) / (1 - WARMUP))
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * fall))


def build_optimizers(model: Qwen3ForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for embeddings and norms."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        is_matrix = parameter.ndim == 2 and "embed" not in name
        (matrices if is_matrix else others).append(parameter)
    optimizers = [
        Muon(matrices, lr=MATRIX_LR, momentum=0.95, weight_decay=0.05),
        torch.optim.AdamW(others, lr=OTHER_LR, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


class Trainer:
    """One training run: model, optimizers and the stream of batches."""

    def __init__(self, options: Options, tokenizer: PreTrainedTokenizerFast) -> None:
        self.options = options
        self.model = build_model(tokenizer, options.seed).to(options.device)
        self.optimizers = build_optimizers(self.model)
        problems = training_problems(Random(f"train/{options.seed}"))
        self.stream: Iterator[Batch] = batches(Encoder(tokenizer), problems)
        self.step = 0
        self.elapsed_s = 0.0
        trunk: Callable[..., object] = self.model.model
        self._trunk = torch.compile(trunk, dynamic=False) if options.is_compiled else trunk

    @property
    def progress(self) -> float:
        """How far the run is, by steps or by the clock, whichever is further; 1 at its end."""
        by_clock = self.elapsed_s / 60 / self.options.minutes
        return max(self.step / self.options.steps, by_clock)

    def loss(self, batch: Batch) -> tuple[Tensor, int]:
        """Return the summed loss over the assistant's tokens, and their number."""
        ids_BT = batch.ids_BT.to(self.options.device)
        labels = batch.labels_BT.to(self.options.device).flatten()
        hidden = self._trunk(input_ids=ids_BT, use_cache=False)[0].flatten(0, 1)  # type: ignore[index]
        chosen = labels != IGNORED
        logits = self.model.lm_head(hidden[chosen])
        loss = torch.nn.functional.cross_entropy(logits, labels[chosen], reduction="sum")
        return loss, int(chosen.sum())

    def run_step(self) -> float:
        """Take one optimizer step; return the mean loss per assistant token."""
        factor = rate(self.progress)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * factor
        total, count = 0.0, 0
        for batch in islice(self.stream, BATCHES_PER_STEP):
            loss, targets = self.loss(batch)
            (loss / EXPECTED_TARGETS).backward()
            total, count = total + float(loss.detach()), count + targets
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        return total / count

    def save(self) -> None:
        """Write the resumable state."""
        save_state(self.options.work, self.model, self.optimizers, self.step, self.elapsed_s)

    def resume(self) -> None:
        """Read the state back and pass over the batches it has seen."""
        self.step, self.elapsed_s = load_state(self.options.work, self.model, self.optimizers)
        for _ in islice(self.stream, self.step * BATCHES_PER_STEP):
            continue

    def run(self) -> None:
        """Train to the end, saving now and then."""
        start = time.monotonic() - self.elapsed_s
        saved_s, losses = self.elapsed_s, list[float]()
        while self.progress < 1:
            losses.append(self.run_step())
            self.elapsed_s = time.monotonic() - start
            if self.step % LOG_EVERY == 0:
                mean = sum(losses) / len(losses)
                losses.clear()
                print(f"step {self.step} seconds {self.elapsed_s:.0f} loss {mean:.4f}", flush=True)
            if self.elapsed_s - saved_s > SAVE_EVERY_S:
                saved_s = self.elapsed_s
                self.save()
        self.save()


def main() -> None:
    """Train, then export."""
    options = parse_options()
    tokenizer = train_tokenizer(options.seed)
    trainer = Trainer(options, tokenizer)
    if options.is_resumed:
        trainer.resume()
    trainer.run()
    export(options.out, trainer.model, tokenizer)
    num_tokens = trainer.step * BATCHES_PER_STEP * BATCH_TOKENS
    print(f"steps {trainer.step} tokens {num_tokens} minutes {trainer.elapsed_s / 60:.1f}")


if __name__ == "__main__":
    main()
