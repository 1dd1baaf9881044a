# SPDX-License-Identifier: Apache-2.0
"""What torch takes for the products of bench_cuda_library, weights cold.

    python3 bench/cuda_peers.py
"""
import statistics

import torch


def microseconds(f, n_sets):
    for i in range(n_sets):
        f(i)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(n_sets):
            f(i)
    times = []
    for _ in range(9):
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / n_sets)
    return statistics.median(times[2:])


def sets(n_out, n_in, size):
    return max(1, min(6, int(2.5e8 / (n_out * n_in * size))))


def bf16(n_rows, n_out, n_in):
    n = sets(n_out, n_in, 2)
    x = torch.randn(n_rows, n_in, device="cuda", dtype=torch.bfloat16)
    w = [torch.randn(n_out, n_in, device="cuda", dtype=torch.bfloat16).t()
         for _ in range(n)]
    return microseconds(lambda i: torch.matmul(x, w[i]), n)


def fp8(n_rows, n_out, n_in):
    n = sets(n_out, n_in, 1)
    e4m3 = torch.float8_e4m3fn
    x = torch.randn(n_rows, n_in, device="cuda").to(e4m3)
    w = [torch.randn(n_out, n_in, device="cuda").to(e4m3).t() for _ in range(n)]
    a = torch.ones(n_rows, 1, device="cuda")
    b = torch.ones(1, n_out, device="cuda")
    return microseconds(
        lambda i: torch._scaled_mm(x, w[i], scale_a=a, scale_b=b,
                                   out_dtype=torch.bfloat16,
                                   use_fast_accum=True), n)


def int8(n_rows, n_out, n_in):
    n = sets(n_out, n_in, 1)
    x = torch.randint(-128, 128, (n_rows, n_in), device="cuda",
                      dtype=torch.int8)
    w = [torch.randint(-128, 128, (n_out, n_in), device="cuda",
                       dtype=torch.int8).t() for _ in range(n)]
    return microseconds(lambda i: torch._int_mm(x, w[i]), n)


def main():
    for n_in, n_out in ((4096, 6144), (4096, 4096), (4096, 28672),
                        (14336, 4096)):
        for n_rows in (17, 32, 64, 128, 256, 1024, 4096):
            line = f"torch {n_in}x{n_out} rows {n_rows}:"
            for f in (bf16, fp8, int8):
                try:
                    us = f(n_rows, n_out, n_in)
                    flops = 2e-6 * n_rows * n_out * n_in / us
                    line += f" {f.__name__} {us:.1f} us {flops:.0f}"
                except RuntimeError as error:
                    line += f" {f.__name__} {str(error).splitlines()[0][:40]}"
            print(line, flush=True)


main()
