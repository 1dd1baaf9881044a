# SPDX-License-Identifier: Apache-2.0
"""Round-to-nearest against compressed-tensors, bit by bit: codes, scales, zero
points and the weights that they stand for; and conversions against PyTorch."""

import os
import struct
import subprocess

import oracle

numpy = oracle.need("numpy")
torch = oracle.need("torch")
quantization = oracle.need("compressed_tensors.quantization")
forward = oracle.need("compressed_tensors.quantization.lifecycle.forward")
helpers = oracle.need("compressed_tensors.quantization.utils.helpers")
packing = oracle.need("compressed_tensors.compressors.pack_quantized")

torch.set_num_threads(2)
torch.manual_seed(1)
tool = os.path.join(os.environ.get("top_builddir", "."), "tests/support/rtn_values")
tap = oracle.Tap()

F32, F16, BF16 = 1, 2, 3
DENSE, INT8, FP8, INT4 = 1, 2, 3, 4
TYPES = {"f32": (F32, torch.float32), "f16": (F16, torch.float16), "bf16": (BF16, torch.bfloat16)}
N_OUT, N_IN = 48, 384


def to_bytes(tensor):
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def run(cases):
    """The tool's answers to (format, dtype, group size, asymmetric, weight)."""
    text = b""
    for kind, dtype, group, asymmetric, weight in cases:
        text += struct.pack("6q", kind, dtype, *weight.shape, group, asymmetric) + to_bytes(weight)
    return subprocess.run([tool], input=text, check=True, stdout=subprocess.PIPE).stdout


def reference(kind, group, asymmetric, weight):
    """The same bytes, by compressed-tensors."""
    if kind == DENSE:
        converted = weight.to(torch.bfloat16)
        return to_bytes(converted) + to_bytes(converted.float())
    args = quantization.QuantizationArgs(
        num_bits=4 if kind == INT4 else 8,
        type="float" if kind == FP8 else "int",
        symmetric=not asymmetric,
        strategy="group" if group > 0 else "channel",
        group_size=group if group > 0 else None)
    groups = weight.unflatten(-1, (-1, group)) if group > 0 else weight.unsqueeze(1)
    scale, zero = helpers.calculate_qparams(groups.amin(-1), groups.amax(-1), args)
    codes = forward.quantize(weight, scale, zero, args, dtype=args.pytorch_dtype())
    meaning = forward.dequantize(codes, scale, zero, args)
    if kind == INT4:
        codes = packing.pack_to_int32(codes, 4)
    parts = [codes, scale] + ([zero] if asymmetric else []) + [meaning.float()]
    return b"".join(map(to_bytes, parts))


def edge_rows(dtype):
    """Weights that rounding and scaling could go wrong for, one kind a row."""
    info = torch.finfo(dtype)
    smallest = info.smallest_normal * info.eps  # the least number that is not 0
    rows = [
        torch.zeros(N_IN), -torch.zeros(N_IN),
        torch.full((N_IN,), 0.02), torch.full((N_IN,), -0.02),
        torch.full((N_IN,), smallest), torch.full((N_IN,), -smallest),
        torch.arange(N_IN) * smallest, torch.arange(N_IN) * -smallest,
        torch.randint(-100, 100, (N_IN,)) * smallest,
        torch.randint(0, 9, (N_IN,)) * info.smallest_normal,
        torch.randn(N_IN).abs(), -torch.randn(N_IN).abs(),
        torch.arange(N_IN) % 16 - 8.0, torch.arange(N_IN) % 16 - 7.5,
        (torch.arange(N_IN) % 256 - 128.0) / 2,
        torch.logspace(-12, 4, N_IN), -torch.logspace(-12, 4, N_IN),
        torch.cat([torch.zeros(N_IN - 1), torch.ones(1)]),
        torch.cat([torch.full((N_IN - 1,), -0.0), -torch.ones(1)]),
        torch.full((N_IN,), info.max), torch.linspace(0, info.max, N_IN, dtype=torch.float64),
        torch.linspace(info.min / 4, info.max / 4, N_IN, dtype=torch.float64),
        torch.randn(N_IN) * 2.0 ** (torch.arange(N_IN) % 12),
        torch.where(torch.arange(N_IN) < 32, 0.0, torch.randn(N_IN)),
    ]
    return torch.stack([r.double() for r in rows]).to(dtype)


def weights(dtype):
    yield "normal", (torch.randn(N_OUT, N_IN) * 0.02).to(dtype)
    yield "shifted", (torch.randn(N_OUT, N_IN) * 0.02 + 0.05).to(dtype)
    yield "heavy-tailed", (torch.randn(N_OUT, N_IN) / torch.rand(N_OUT, N_IN)).clamp(-1e4, 1e4).to(dtype)
    yield "of all magnitudes", (torch.randn(N_OUT, N_IN).double()
                                * 2.0 ** torch.randint(-24, 12, (N_OUT, 1))).to(dtype)
    yield "at the edges", edge_rows(dtype)
    yield "of a wide layer", (torch.randn(1024, 2048) * 0.02).to(dtype)
    if dtype != torch.float32:  # the type's values
        every = torch.arange(65536, dtype=torch.int32).to(torch.int16).view(dtype)
        limit = torch.finfo(dtype).max / 2  # or an asymmetric range is infinite
        every = torch.where(every.abs() < limit, every, 0)
        yield "of every value up to half the largest", every[torch.randperm(65536)].reshape(-1, N_IN // 3)


def compare(name, kind, group, asymmetric):
    for type_name, (dtype, torch_dtype) in TYPES.items():
        wrong = []
        n = 0
        for what, weight in weights(torch_dtype):
            ours = run([(kind, dtype, group, asymmetric, weight)])
            theirs = reference(kind, group, asymmetric, weight)
            n += weight.numel()
            if ours != theirs:
                a, b = (numpy.frombuffer(x, numpy.uint8) for x in (ours, theirs))
                where = numpy.nonzero(a != b)[0] if len(a) == len(b) else ["length"]
                wrong.append(f"{what}: {len(where)} of {len(b)} bytes differ, first {where[:5]}")
        tap.check(not wrong, f"{name} of {type_name} is compressed-tensors' ({n} weights)",
                  "\n".join(wrong))


compare("bf16", DENSE, -1, 0)
compare("w8a8-fp", FP8, -1, 0)
compare("w8a8-int and w8a16-int", INT8, -1, 0)
for group in (32, 64, 128, -1):
    for asymmetric in (0, 1):
        kind = "asymmetric" if asymmetric else "symmetric"
        width = f"group {group}" if group > 0 else "per channel"
        compare(f"w4a16-int, {width}, {kind},", INT4, group, asymmetric)
tap.done()
