# SPDX-License-Identifier: Apache-2.0
"""A user's script, which `mypy --strict` takes; it is not run."""

import numpy as np

import llq


def study(source: str, directory: str) -> float:
    model = llq.Model(source)
    with llq.Quantizer(model, "w4a16-int", method="gptq", group_size=64,
                       damping=0.02) as quantizer:
        quantizer.calibrate("calibration.jsonl")
        for step in quantizer.steps():
            print(step.done, "of", step.total, step.unit)
        int4 = quantizer.take()
    with llq.Generator(int4, llq.Backend("cpu", n_threads=2)) as generator:
        ids = int4.tokenizer.encode("def f(x):", bos=True)
        best: np.intp = np.argmax(generator.logits(ids)[-1])
        text: str = generator.generate(ids, llq.Sampling(top_p=0.9)).text
        for part in generator.stream("def g(x):"):
            print(part, end="")
        print(best, text)
    with llq.Sweep(model, "tasks.jsonl", directory, seed=1) as sweep:
        result = sweep.run(progress=True)
    compared = llq.compare(result.run("bf16"), result.run("w4a16-int-rtn"))
    return compared.difference
