# SPDX-License-Identifier: Apache-2.0
"""Checkpoints as models, and their quantization."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Sequence as Listed
from dataclasses import asdict, dataclass, fields
from typing import Any

from ._llq import ffi, lib
from ._native import (Handle, Option, Path, Progress, check, fill, new, path,
                      steps, text, values)
from .device import Backend
from .errors import ArgumentError
from .progress import ProgressOption, follow
from .tokenizer import Ids, Tokenizer, as_ids, ids_pointer

#: The names of the number formats that a model can be in.
SCHEMES = ("bf16", "w8a8-fp", "w8a8-int", "w8a16-int", "w4a16-int")


@dataclass(frozen=True)
class ModelInfo:
    """What a model is; see ``llq_model_info`` in libllq for each field."""

    architecture: str
    scheme: str
    dtype: str
    n_layers: int
    hidden_size: int
    intermediate_size: int
    n_heads: int
    n_kv_heads: int
    head_size: int
    n_vocab: int
    n_context: int
    tied: bool
    group_size: int
    n_parameters: int
    n_weight_bytes: int
    n_linear_bytes: int
    n_kv_bytes: int
    kv_cache: str
    n_output_bytes: int
    output_scheme: str


class Model(Handle):
    """A Llama: config, weights, tokenizer. Immutable; threads may share it.

    Parameters
    ----------
    source : path
        A directory in Hugging Face layout; ``"llq-micro"``, the model that
        comes with libllq; or ``"random:CONFIG"``, random weights of a shape.
    seed : int
        Of the weights of ``random:CONFIG``.

    Examples
    --------
    >>> import llq
    >>> with llq.Model("llq-micro") as model:
    ...     int4 = model.quantize("w4a16-int")
    >>> int4.info.scheme
    'w4a16-int'
    """

    def __init__(self, source: Path, *, seed: int = 0, **more: Option) -> None:
        super().__init__()
        options, _kept = fill("llq_model_options", seed=seed, **more)
        out = ffi.new("llq_model **")
        check(lib.llq_model_open(out, path(source), options))
        self._own(out[0], lib.llq_model_close)

    @classmethod
    def _adopt(cls, pointer: Any) -> Model:
        """Takes a reference that C gave."""
        self = cls.__new__(cls)
        Handle.__init__(self)
        self._own(pointer, lib.llq_model_close)
        return self

    @property
    def info(self) -> ModelInfo:
        """Shape, parameters, bytes."""
        info = new("llq_model_info")
        check(lib.llq_model_describe(self._open(), info))
        known = values(info)
        known["tied"] = bool(known["tied"])
        return ModelInfo(**{f.name: known[f.name] for f in fields(ModelInfo)})

    @property
    def source(self) -> str:
        """The path or name it was opened from."""
        return text(lib.llq_model_source(self._open()))

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        with self._lock:
            return Tokenizer._of_model(self._open())

    def save(self, directory: Path, format: str | None = None,
             **options: Option) -> None:
        """Writes a directory in Hugging Face layout; it must hold no model.

        Parameters
        ----------
        directory : path
            Made if absent.
        format : str, optional
            ``"compressed-tensors"`` (the default), ``"gptq"``, ``"awq"``, or
            ``"safetensors"`` for values instead of codes.
        **options
            Any further field of ``llq_save_options``, such as ``lossy``.
        """
        struct, _kept = fill("llq_save_options", format=format, **options)
        check(lib.llq_model_save_as(self._open(), path(directory), struct))

    def diff(self, other: Model) -> list[dict[str, Any]]:
        """How the weights of each linear differ from another model's."""
        found: list[dict[str, Any]] = []
        diff = ffi.new("llq_linear_diff *")
        diff.struct_size = ffi.sizeof("llq_linear_diff")
        more = True
        while more:
            more = check(lib.llq_model_diff(self._open(), other._open(),
                                            len(found), diff)) == lib.LLQ_MORE
            entry: dict[str, Any] = {
                key: ffi.string(getattr(diff, key)).decode()
                for key in ("name", "scheme_a", "scheme_b")}
            entry.update((key, getattr(diff, key)) for key in (
                "relative_error", "max_error", "max_out", "max_in",
                "n_outliers"))
            for key in ("scales_a", "scales_b"):
                scales = getattr(diff, key)
                entry[key] = {"n": scales.n, "least": scales.least,
                              "mean": scales.mean, "largest": scales.largest}
            found.append(entry)
        return found

    def bytes_in(self, scheme: str, group_size: int = 0) -> int:
        """The bytes that the weights would take in a scheme."""
        n_bytes = ffi.new("uint64_t *")
        check(lib.llq_model_bytes_in(self._open(), scheme.encode(), group_size,
                                     n_bytes))
        return int(n_bytes[0])

    def quantize(self, scheme: str, *, method: str | None = None,
                 calibration: Path | None = None,
                 backend: Backend | None = None,
                 progress: ProgressOption = False, **options: Any) -> Model:
        """Makes a quantized model of this one; see `Quantizer`."""
        with Quantizer(self, scheme, method=method, backend=backend,
                       **options) as quantizer:
            if calibration is not None:
                quantizer.calibrate(calibration)
            return quantizer.run(progress)

    def __repr__(self) -> str:
        if self.closed:
            return "Model(closed)"
        return f"Model({self.source!r}, {self.info.scheme})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}"
            "</td></tr>" for name, value in asdict(self.info).items())
        return f"<table><caption>{html.escape(self.source)}</caption>{rows}</table>"


@dataclass(frozen=True)
class QuantizedLinear:
    """How a linear was quantized; see ``llq_quantized_linear`` in libllq."""

    name: str
    scheme: str
    method: str
    error: float
    power: float
    damping: float
    n_dead: int


class Quantizer(Handle):
    """Quantizes the linears of a model's decoder layers.

    Parameters
    ----------
    model : Model
        Unquantized.
    scheme : str
        One of `SCHEMES`.
    method : str, optional
        ``"rtn"`` (the default), ``"gptq"``, ``"awq"``, ``"smoothquant"``, ...;
        all but ``"rtn"`` need calibration.
    backend : Backend, optional
        Runs calibration; a CPU's by default.
    group_size : int
        w4a16-int: 32, 64, 128, or -1 = per channel; 0 = 128.
    asymmetric : bool
        w4a16-int: with zero points.
    n_threads : int
        0 = as many as cores allowed. Any number gives the same bytes.
    **options
        Any further field of ``llq_quantizer_options``, such as ``damping``, or
        ``kv_cache``: ``"fp8"`` or ``"int8"``, which needs calibration, too.
    """

    def __init__(self, model: Model, scheme: str, *, method: str | None = None,
                 backend: Backend | None = None, group_size: int = 0,
                 asymmetric: bool = False, n_threads: int = 0,
                 **options: Option) -> None:
        calibrates = method not in (None, "rtn") or options.get("kv_cache")
        if backend is None and calibrates:
            backend = Backend("cpu", n_threads=n_threads)
        super().__init__(backend._lock if backend else None)
        struct, _kept = fill("llq_quantizer_options", scheme=scheme,
                             method=method, group_size=group_size,
                             asymmetric=asymmetric, n_threads=n_threads,
                             **options)
        out = ffi.new("llq_quantizer **")
        runs_on = backend._open() if backend else ffi.NULL
        with self._lock:
            check(lib.llq_quantizer_open(out, runs_on, model._open(), struct))
        self._own(out[0], lib.llq_quantizer_close, runs_on)

    def calibrate(self, samples: Path | Ids | Listed[int] | None) -> None:
        """Adds calibration samples, before the first step.

        Parameters
        ----------
        samples : path, token ids, or None
            A JSONL or text file; one sample's ids; None = random tokens.
        """
        with self._lock:
            if samples is None:
                check(lib.llq_quantizer_calibrate_random(self._open()))
            elif isinstance(samples, (str, os.PathLike)):
                check(lib.llq_quantizer_calibrate_file(self._open(),
                                                       path(samples)))
            else:
                ids = as_ids(samples)
                check(lib.llq_quantizer_calibrate_ids(
                    self._open(), ids_pointer(ids), len(ids)))

    def steps(self) -> Iterator[Progress]:
        """Quantizes a layer at a time."""
        return steps(self, lib.llq_quantizer_step)

    def take(self) -> Model:
        """The finished model, once."""
        with self._lock:
            out = ffi.new("llq_model **")
            check(lib.llq_quantizer_take(self._open(), out))
            return Model._adopt(out[0])

    def run(self, progress: ProgressOption = False) -> Model:
        """Steps until done.

        Parameters
        ----------
        progress : bool or callable
            True = a bar; or a function that gets each `Progress`.
        """
        follow(self.steps(), progress, "quantize")
        return self.take()

    def linears(self) -> list[QuantizedLinear]:
        """How each linear was quantized, layer by layer; then the output
        matrix, if a recipe chose a scheme for it."""
        found: list[QuantizedLinear] = []
        while True:
            with self._lock:
                out = new("llq_quantized_linear")
                try:
                    check(lib.llq_quantizer_linear(self._open(), len(found),
                                                   out))
                except ArgumentError:
                    return found
                known = values(out)
            found.append(QuantizedLinear(
                **{f.name: known[f.name] for f in fields(QuantizedLinear)}))
        return found
