# SPDX-License-Identifier: Apache-2.0
"""Runs a model: text, logits, perplexity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence as Listed
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._llq import ffi, lib
from ._native import Handle, Option, Progress, check, fill, new, steps
from .device import Backend
from .model import Model
from .progress import ProgressOption, follow
from .tokenizer import Ids, Tokenizer, as_ids, ids_pointer

_STOP_NAMES = {lib.LLQ_STOP_NONE: None, lib.LLQ_STOP_END: "end",
               lib.LLQ_STOP_STRING: "string", lib.LLQ_STOP_LENGTH: "length",
               lib.LLQ_STOP_CONTEXT: "context",
               lib.LLQ_STOP_CANCELLED: "cancelled"}

Prompt = str | Listed[int] | Ids


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens, and when to stop.

    Attributes
    ----------
    temperature : float
        0 = greedy.
    top_p, min_p : float
        0 = all tokens.
    top_k : int
        0 = all tokens.
    n_tokens_max : int
        0 = until the context is full.
    seed, stream : int
        Which numbers are drawn; sample i of a prompt uses stream + i.
    stops : sequence of str
        The text is cut before the first that occurs.
    end_ids : sequence of int, optional
        Tokens that end a sequence; None = the model's own.
    """

    temperature: float = 0.0
    top_p: float = 0.0
    min_p: float = 0.0
    top_k: int = 0
    n_tokens_max: int = 0
    seed: int = 0
    stream: int = 0
    stops: Listed[str] = ()
    end_ids: Listed[int] | None = None

    def _struct(self) -> tuple[Any, list[Any]]:
        kept: list[Any] = [ffi.new("char[]", stop.encode())
                           for stop in self.stops]
        stops = ffi.new("const char *[]", kept)
        struct, more = fill(
            "llq_sampling", temperature=self.temperature, top_p=self.top_p,
            min_p=self.min_p, top_k=self.top_k, n_tokens_max=self.n_tokens_max,
            seed=self.seed, stream=self.stream, stops=stops,
            n_stops=len(self.stops))
        if self.end_ids is not None:
            ends = ffi.new("int32_t[]", list(self.end_ids) or [0])
            struct.end_ids, struct.n_end_ids = ends, len(self.end_ids)
            more.append(ends)
        return struct, [*kept, stops, *more]


@dataclass(frozen=True)
class Generation:
    """A sequence as it was when it was looked at.

    Attributes
    ----------
    text : str
        Whole characters, cut at a stop string.
    ids : numpy.ndarray
        Generated tokens, an end token included.
    stop_reason : str or None
        ``"end"``, ``"string"``, ``"length"``, ``"context"``,
        ``"cancelled"``; None while it runs.
    min_margin : float
        The smallest difference between the largest two logits.
    margin_at : int
        The token at which that occurred; -1 before the first.
    """

    text: str
    ids: Ids
    stop_reason: str | None
    min_margin: float
    margin_at: int

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Perplexity:
    """What a text tells about a model; ``nan`` where there is no base.

    Attributes
    ----------
    n_tokens : int
        Tokens predicted.
    perplexity, nll, nll_error : float
        exp of the mean negative log likelihood; that mean; its error.
    kl, kl_error : float
        Mean KL(base || model) in nats a token; its standard error.
    agreement : float
        Part of the tokens where both have the same most likely one.
    """

    n_tokens: int
    perplexity: float
    nll: float
    nll_error: float
    kl: float
    kl_error: float
    agreement: float


class Generator(Handle):
    """A model on a backend, with a KV cache and a scheduler.

    Parameters
    ----------
    model : Model
        What to run.
    backend : Backend, optional
        By default one of its own, so that threads with a generator each run
        at once.
    compute : str, optional
        ``"f32"`` or ``"bf16"``.
    n_sequences, n_context, n_chunk : int
        Sequences at once, tokens of one, prompt tokens in a step; 0 = the
        library's defaults.
    **options
        Any further field of ``llq_generator_options``, such as ``kv_cache``:
        ``"compute"``, ``"fp8"`` or ``"int8"``; by default what the model has
        scales for.
    """

    def __init__(self, model: Model, backend: Backend | None = None, *,
                 compute: str | None = None, n_sequences: int = 0,
                 n_context: int = 0, n_chunk: int = 0, **options: Option) -> None:
        backend = backend if backend is not None else Backend()
        super().__init__(backend._lock)
        struct, _kept = fill("llq_generator_options", compute=compute,
                             n_sequences=n_sequences, n_context=n_context,
                             n_chunk=n_chunk, **options)
        out = ffi.new("llq_generator **")
        runs_on, pointer = backend._open(), model._open()
        with self._lock:
            check(lib.llq_generator_open(out, runs_on, pointer, struct))
        self._own(out[0], lib.llq_generator_close, runs_on)
        self._model = pointer
        self._n_vocab = model.info.n_vocab
        self._tokenizer: Tokenizer | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        if self._tokenizer is None:
            self._tokenizer = Tokenizer._of_model(self._model)
        return self._tokenizer

    @property
    def n_context(self) -> int:
        """Tokens a sequence can have, prompt included."""
        return int(lib.llq_generator_n_context(self._open()))

    def submit(self, prompt: Prompt, sampling: Sampling | None = None,
               n_samples: int = 1) -> list[int]:
        """Adds a prompt, and tells the numbers of its sequences.

        A text gets a BOS token in front; ids are taken as they are.
        """
        ids = self.tokenizer.encode(prompt, bos=True) \
            if isinstance(prompt, str) else as_ids(prompt)
        struct, _kept = (sampling or Sampling())._struct()
        first = ffi.new("int64_t *")
        with self._lock:
            check(lib.llq_generator_submit(
                self._open(), ids_pointer(ids), len(ids), struct, n_samples,
                first))
        return list(range(first[0], first[0] + n_samples))

    def steps(self) -> Iterator[Progress]:
        """Runs the model, once a step, until no sequence is left to run."""
        return steps(self, lib.llq_generator_step)

    def get(self, sequence: int) -> Generation:
        """Looks at a sequence, at any time until it is released."""
        with self._lock:
            found = new("llq_generation")
            check(lib.llq_generator_get(self._open(), sequence, found))
            ids = np.frombuffer(ffi.buffer(found.ids, 4 * found.n_ids),
                                dtype=np.int32).copy() if found.n_ids \
                else np.empty(0, np.int32)
            data = bytes(ffi.buffer(found.text, found.n_bytes)) \
                if found.n_bytes else b""
            return Generation(data.decode("utf-8", "replace"), ids,
                              _STOP_NAMES.get(found.stop_reason),
                              found.min_margin, found.margin_at)

    def cancel(self, sequence: int) -> None:
        """Ends a sequence where it is; its text and tokens remain."""
        with self._lock:
            check(lib.llq_generator_cancel(self._open(), sequence))

    def release(self, sequence: int) -> None:
        """Forgets a sequence, ending it first if it runs."""
        with self._lock:
            if not self.closed:
                lib.llq_generator_release(self._open(), sequence)

    def stream(self, prompt: Prompt, sampling: Sampling | None = None,
               ) -> Iterator[str]:
        """Yields text as it comes.

        Leaving the loop, by ``break`` or Ctrl-C, ends the sequence.

        Examples
        --------
        >>> import llq
        >>> with llq.Generator(llq.Model("llq-micro")) as generator:
        ...     short = llq.Sampling(n_tokens_max=3)
        ...     text = "".join(generator.stream("def f(n):", short))
        """
        [sequence] = self.submit(prompt, sampling)
        try:
            shown = 0
            for _ in self.steps():
                now = self.get(sequence)
                if len(now.text) > shown:
                    yield now.text[shown:]
                    shown = len(now.text)
                if now.stop_reason is not None:
                    break
        finally:
            self.release(sequence)

    def generate(self, prompt: Prompt, sampling: Sampling | None = None, *,
                 progress: ProgressOption = False) -> Generation:
        """Continues one prompt; see `generate_all`."""
        return self.generate_all([prompt], sampling, progress=progress)[0]

    def generate_all(self, prompts: Iterable[Prompt],
                     sampling: Sampling | None = None, *, n_samples: int = 1,
                     progress: ProgressOption = False) -> list[Generation]:
        """Continues several prompts at once.

        What a prompt gives does not depend on the others.

        Parameters
        ----------
        prompts : iterable of str or token ids
            A text gets a BOS token in front; ids are taken as they are.
        sampling : Sampling, optional
            Greedy by default.
        n_samples : int
            Of each prompt; they follow each other in the result.
        progress : bool or callable
            As in `Quantizer.run`.
        """
        sequences: list[int] = []
        try:
            for prompt in prompts:
                sequences += self.submit(prompt, sampling, n_samples)
            follow(self.steps(), progress, "generate")
            return [self.get(sequence) for sequence in sequences]
        finally:
            for sequence in sequences:
                self.release(sequence)

    def logits(self, ids: npt.ArrayLike, out: npt.NDArray[np.float32] | None
               = None) -> npt.NDArray[np.float32]:
        """The logits that follow each token.

        Parameters
        ----------
        ids : array of int
            One sequence.
        out : numpy.ndarray, optional
            Contiguous float32 of shape (n_ids, n_vocab) to write to.

        Returns
        -------
        numpy.ndarray
            `out`, or a new array; written without a copy.
        """
        array = as_ids(ids)
        shape = len(array), self._n_vocab
        if out is None:
            out = np.empty(shape, np.float32)
        elif out.shape != shape or out.dtype != np.float32 or \
                not out.flags.c_contiguous or not out.flags.writeable:
            raise ValueError(f"out must be writeable, contiguous float32 {shape}")
        with self._lock:
            check(lib.llq_generator_logits(
                self._open(), ids_pointer(array), len(array),
                ffi.cast("float *", out.ctypes.data)))
        return out

    def perplexity(self, text: Prompt, *, base: Generator | None = None,
                   n_window: int = 512,
                   progress: ProgressOption = False) -> Perplexity:
        """How well the model predicts a text, window by window.

        Parameters
        ----------
        text : str or token ids
            At least two tokens.
        base : Generator, optional
            Of a model to compare with.
        n_window : int
            Tokens that are predicted together.
        progress : bool or callable
            As in `Quantizer.run`.
        """
        ids = self.tokenizer.encode(text, bos=True) \
            if isinstance(text, str) else as_ids(text)
        if len(ids) < 2:
            raise ValueError("the text has fewer than two tokens")
        window = min(n_window, self.n_context)
        result = new("llq_perplexity")
        follow(self._measure(ids, base, window, result), progress, "perplexity")
        return Perplexity(**{name: getattr(result, name)
                             for name in Perplexity.__dataclass_fields__})

    def _measure(self, ids: Ids, base: Generator | None, window: int,
                 result: Any) -> Iterator[Progress]:
        """Measures a window at a time."""
        for start in range(0, len(ids) - 1, window):
            part = ids[start:start + window]
            with self._lock, (base or self)._lock:
                check(lib.llq_perplexity_measure(
                    self._open(), base._open() if base else ffi.NULL,
                    ids_pointer(part), len(part), window, result))
            yield Progress(start + len(part), len(ids), "tokens",
                           f"perplexity {result.perplexity:.3f}")
