#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Train llq-micro on shards that make_data.py has written or is writing."""

import argparse
import json
import os
import time

import numpy as np
import torch
from safetensors.torch import save_file

from make_data import ANSWER, ROW
from model import CONFIG, Llama


def orthogonal(g, steps=5):
    """Newton-Schulz iteration towards the nearest orthogonal matrices."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonal updates, batched over equal shapes."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.0):
        groups = {}
        for p in params:
            groups.setdefault(tuple(p.shape), []).append(p)
        super().__init__([{"params": g} for g in groups.values()], {
            "lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            params = group["params"]
            grads = torch.stack([p.grad for p in params])
            state = self.state[params[0]]
            if "m" not in state:
                state["m"] = torch.zeros_like(grads)
            m = state["m"].lerp_(grads, 1 - group["momentum"])
            update = orthogonal(grads.lerp(m, group["momentum"]))
            scale = max(1, grads.shape[1] / grads.shape[2]) ** 0.5
            torch._foreach_mul_(params, 1 - group["lr"] *
                                group["weight_decay"])
            torch._foreach_add_(params, list(update.float().unbind()),
                                alpha=-group["lr"] * scale)


class Rows:
    """Rows of the shards, waiting for those not yet written.

    Every `reuse`-th shard is a new one; between them come earlier ones, evenly
    spread, so that generating data keeps pace with training.
    """

    def __init__(self, folder, device, reuse):
        self.folder, self.device, self.reuse = folder, device, reuse
        self.next, self.left, self.waited = 0, None, 0.0

    def take(self, count):
        parts = []
        while count > 0:
            if self.left is None or len(self.left) == 0:
                self.left = self.load()
            parts.append(self.left[:count])
            self.left = self.left[count:]
            count -= len(parts[-1])
        return torch.cat(parts)

    def load(self):
        new, turn = divmod(self.next, self.reuse)
        index = new if turn == 0 else new * turn // self.reuse
        path = os.path.join(self.folder, "shard-%05d.npy" % index)
        start = time.time()
        while not os.path.exists(path):
            time.sleep(0.05)
        self.waited += time.time() - start
        self.next += 1
        return torch.from_numpy(np.load(path).astype(np.int32)).to(self.device)


def batch(rows, length, prompt_weight):
    flat = rows.view(-1, length)
    ids = (flat & (ANSWER - 1)).long()
    targets = torch.cat((ids[:, 1:], ids[:, :1]), 1)
    answer = torch.cat((flat[:, 1:], flat[:, :1]), 1) >= ANSWER
    weights = torch.where(answer, 1.0, prompt_weight)
    weights[:, -1] = 0
    return ids, targets, weights


def factor(done, decay):
    """Learning rate: a short rise, flat, then down to zero."""
    return min(1.0, done / 0.01) * min(1.0, (1 - done) / decay)


def export(model, out, full):
    os.makedirs(out, exist_ok=True)
    state = {k: v.detach().cpu() for k, v in model.state_dict().items()}
    save_file({k: v.bfloat16().contiguous() for k, v in state.items()},
              os.path.join(out, "model.safetensors"), {"format": "pt"})
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(CONFIG, f, indent=2)
        f.write("\n")
    if full:
        save_file(state, full)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards")
    parser.add_argument("out")
    parser.add_argument("--steps", type=int, default=10 ** 9)
    parser.add_argument("--seconds", type=float, default=10 ** 9,
                        help="stop after this time if that comes first")
    parser.add_argument("--rows", type=int, default=128, help="in a batch")
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--adam-lr", type=float, default=0.004)
    parser.add_argument("--decay", type=float, default=0.5)
    parser.add_argument("--prompt-weight", type=float, default=0.2)
    parser.add_argument("--reuse", type=int, default=2)
    parser.add_argument("--long-every", type=int, default=8,
                        help="every so many steps use rows of 2,048")
    parser.add_argument("--seed", type=int, default=20260)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--full", help="file for the float32 weights")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    raw = Llama(CONFIG).to(options.device)
    print("parameters", sum(p.numel() for p in raw.parameters()), flush=True)
    model = raw if options.no_compile else torch.compile(raw, dynamic=False)
    inner = [p for n, p in raw.named_parameters()
             if p.dim() == 2 and "embed" not in n]
    outer = [p for n, p in raw.named_parameters()
             if p.dim() != 2 or "embed" in n]
    optimizers = [
        Muon(inner, options.lr, weight_decay=0.01),
        torch.optim.AdamW(outer, options.adam_lr, betas=(0.9, 0.95),
                          weight_decay=0.0, fused=options.device == "cuda")]
    base = [options.lr, options.adam_lr]
    rows = Rows(options.shards, options.device, options.reuse)
    start, total, step = time.time(), 0.0, 0
    warm = 12 if not options.no_compile else 0
    while True:
        if step == warm:        # compilation is not training time
            start = time.time() if warm else start
        done = max(step / options.steps,
                   (time.time() - start) / options.seconds
                   if step >= warm else 0)
        if done >= 1:
            break
        for o, lr in zip(optimizers, base):
            for group in o.param_groups:
                group["lr"] = lr * max(factor(done, options.decay), 0.002)
        length = ROW * (2 if step % options.long_every == 1 else 1)
        ids, targets, weights = batch(rows.take(options.rows), length,
                                      options.prompt_weight)
        with torch.autocast(options.device, torch.bfloat16):
            loss, answer = model(ids, targets, weights)
        loss.backward()
        for o in optimizers:
            o.step()
        for p in raw.parameters():
            p.grad = None
        step += 1
        if step % 100 == 0 or step < 4:
            seen = step * options.rows * ROW
            print("step %d done %.3f loss %.4f answer %.4f tokens %.1fM "
                  "%.2f Mtok/s waited %.1fs" % (
                      step, done, loss.item(), answer.item(), seen / 1e6,
                      seen / 1e6 / (time.time() - start), rows.waited),
                  flush=True)
    print("steps", step, "seconds %.0f" % (time.time() - start),
          "shards", rows.next // options.reuse + 1, flush=True)
    export(raw, options.out, options.full)


if __name__ == "__main__":
    main()
