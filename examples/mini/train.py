"""Train mini and export it: `python -m examples.mini.train --steps 3000 --minutes 60`.

The first stage begins from nothing; `--stage parallel` goes on from its export.
"""

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from transformers import Qwen3ForCausalLM

from examples.mini.checkpoint import load_state, save_state
from examples.mini.documents import BATCH_TOKENS, Batch, Views
from examples.mini.export import export
from examples.mini.muon import Muon
from examples.mini.replicas import Replicas
from examples.mini.stages import BATCHES_PER_STEP, STAGES, Stage
from examples.mini.trunk import Trunk

WARMUP = 0.02
"""Share of the run in which the learning rate rises."""
FLOOR = 0.02
"""Learning rate at the end, relative to its peak."""
SAVE_EVERY_S, LOG_EVERY = 240.0, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run is asked to do."""

    stage: Stage
    steps: int
    minutes: float
    """Wall clock after which the run ends, its learning rate lowered in time."""
    seed: int
    device: str
    start: Path
    """Folder that a later stage goes on from."""
    out: Path
    work: Path
    """Folder of the resumable state."""
    is_resumed: bool
    is_compiled: bool


def parse_options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=sorted(STAGES), default="first")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--start", type=Path, default=Path("runtime/assets/mini"))
    parser.add_argument("--out", type=Path, default=Path("runtime/assets/mini"))
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    return Options(
        stage=STAGES[args.stage],
        steps=args.steps,
        minutes=args.minutes,
        seed=args.seed,
        device=args.device,
        start=args.start,
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


def build_optimizers(model: Qwen3ForCausalLM, stage: Stage) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for embeddings and norms."""
    matrices, others = list[Tensor](), list[Tensor]()
    for name, parameter in model.named_parameters():
        is_matrix = parameter.ndim == 2 and "embed" not in name
        (matrices if is_matrix else others).append(parameter)
    optimizers: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=stage.matrix_lr, momentum=0.95, weight_decay=0.05),
        torch.optim.AdamW(others, lr=stage.other_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


class Trainer:
    """One training run: model, optimizers and the stream of batches."""

    def __init__(self, options: Options, replicas: Replicas) -> None:
        self.options = options
        self.model, self.tokenizer = options.stage.begin(options.seed, options.start)
        torch.nn.Module.to(self.model, options.device)
        self.optimizers = build_optimizers(self.model, options.stage)
        self.replicas = replicas
        seed = f"train/{options.seed}/{replicas.rank}"
        self.stream: Iterator[Batch] = options.stage.batches(self.tokenizer, seed)
        self.step = 0
        self.elapsed_s = 0.0
        self._trunk = Trunk(self.model, is_compiled=options.is_compiled)
        self._start_s = 0.0

    @property
    def progress(self) -> float:
        """How far the run is, by steps or by the clock, whichever is further; 1 at its end."""
        by_clock = self.elapsed_s / 60 / self.options.minutes
        return max(self.step / self.options.steps, by_clock)

    def loss(self, batch: Batch) -> tuple[Tensor, int]:
        """Return the summed loss over the assistant's tokens, and their number."""
        device = self.options.device
        views = batch.views
        if views is not None:
            views = Views(views.starts, views.seen_BTS.to(device), views.turns_BTS.to(device))
        hidden = self._trunk(batch.ids_BT.to(device), views).flatten(0, 1)
        logits = self.model.lm_head(hidden[batch.positions_P.to(device)])
        where_N, tokens_N = batch.where_N.to(device), batch.tokens_N.to(device)
        chosen_N = logits.log_softmax(-1)[where_N, tokens_N]
        return -(chosen_N * batch.weights_N.to(device)).sum(), len(batch.positions_P)

    def run_step(self) -> float:
        """Take one optimizer step; return the mean loss per assistant token."""
        factor = rate(self.progress)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * factor
        total, count = 0.0, 0
        for batch in islice(self.stream, BATCHES_PER_STEP // self.replicas.count):
            loss, targets = self.loss(batch)
            torch.autograd.backward(loss / self.options.stage.divisor(targets))
            total, count = total + float(loss.detach()), count + targets
        parameters = list(self.model.parameters())
        elapsed_s = time.monotonic() - self._start_s
        total, counted, elapsed_s = self.replicas.add(parameters, (total, count, elapsed_s))
        # Every replica must read the same clock, or their learning rates would part.
        self.elapsed_s = elapsed_s / self.replicas.count
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        return total / counted

    def save(self) -> None:
        """Write the resumable state; the first replica does it for all."""
        if self.replicas.rank == 0:
            work = self.options.work
            save_state(work, self.model, self.optimizers, self.step, self.elapsed_s)

    def resume(self) -> None:
        """Read the state back and pass over the batches it has seen."""
        self.step, self.elapsed_s = load_state(self.options.work, self.model, self.optimizers)
        for _ in islice(self.stream, self.step * BATCHES_PER_STEP // self.replicas.count):
            continue

    def run(self) -> None:
        """Train to the end, saving now and then."""
        self._start_s = time.monotonic() - self.elapsed_s
        saved_s, losses = self.elapsed_s, list[float]()
        while self.progress < 1:
            losses.append(self.run_step())
            if self.step % LOG_EVERY == 0:
                self.log(sum(losses) / len(losses))
                losses.clear()
            if self.elapsed_s - saved_s > SAVE_EVERY_S:
                saved_s = self.elapsed_s
                self.save()
        self.save()

    def log(self, loss: float) -> None:
        """Print where the run is."""
        if self.replicas.rank == 0:
            print(f"step {self.step} seconds {self.elapsed_s:.0f} loss {loss:.4f}", flush=True)


def main() -> None:
    """Train, then export."""
    options = parse_options()
    replicas = Replicas()
    trainer = Trainer(options, replicas)
    if options.is_resumed:
        trainer.resume()
    trainer.run()
    if replicas.rank == 0:
        export(options.out, trainer.model, trainer.tokenizer)
        num_tokens = trainer.step * BATCHES_PER_STEP * BATCH_TOKENS
        print(f"steps {trainer.step} tokens {num_tokens} minutes {trainer.elapsed_s / 60:.1f}")
    replicas.close()


if __name__ == "__main__":
    main()
