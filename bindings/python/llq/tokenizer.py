# SPDX-License-Identifier: Apache-2.0
"""Text to token ids and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ._llq import ffi, lib
from ._native import Handle, Path, check, path, text

Ids = npt.NDArray[np.int32]


def as_ids(ids: npt.ArrayLike) -> Ids:
    """Token ids as C has them; an int32 array is taken as it is."""
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError("token ids must be one-dimensional")
    if array.size and array.dtype.kind not in "iu":
        raise TypeError("token ids must be integers")
    if array.size and (array.min() < 0 or array.max() > np.iinfo(np.int32).max):
        raise ValueError("a token id is out of range")
    return np.ascontiguousarray(array, dtype=np.int32)


def ids_pointer(ids: Ids) -> Any:
    """An array's own memory as `const int32_t *`."""
    return ffi.cast("const int32_t *", ids.ctypes.data)


class Tokenizer(Handle):
    """A byte-level BPE tokenizer as in Llama 3. Immutable.

    Parameters
    ----------
    source : path
        A Hugging Face ``tokenizer.json``, a Meta ``tokenizer.model``, or a
        directory that has one of them.
    """

    def __init__(self, source: Path) -> None:
        super().__init__()
        out = ffi.new("llq_tokenizer **")
        check(lib.llq_tokenizer_open(out, path(source)))
        self._own(out[0], lib.llq_tokenizer_close)

    @classmethod
    def _of_model(cls, model: Any) -> Tokenizer:
        """A model's own tokenizer, which lives as long as the model."""
        self = cls.__new__(cls)
        Handle.__init__(self)
        out = ffi.new("const llq_tokenizer **")
        check(lib.llq_model_tokenizer(model, out))
        self._own(out[0], lambda _: None, model)
        return self

    def encode(self, text: str | bytes, *, bos: bool = False,
               special: bool = False) -> Ids:
        """Encodes text.

        Parameters
        ----------
        text : str or bytes
            Ill-formed UTF-8 in bytes becomes U+FFFD.
        bos : bool
            Begin with the BOS token.
        special : bool
            Text like ``<|eot_id|>`` becomes that token.

        Returns
        -------
        numpy.ndarray
            int32 ids.
        """
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) \
            else text
        flags = (lib.LLQ_ENCODE_BOS if bos else 0) | \
            (lib.LLQ_ENCODE_SPECIAL if special else 0)
        ids = np.empty(3 * len(data) + 1, dtype=np.int32)
        n_ids = ffi.new("size_t *")
        check(lib.llq_tokenizer_encode(
            self._open(), ffi.from_buffer(data), len(data), flags,
            ffi.cast("int32_t *", ids.ctypes.data), len(ids), n_ids))
        return ids[:n_ids[0]].copy()

    def decode_bytes(self, ids: npt.ArrayLike, *, special: bool = False) -> bytes:
        """Decodes ids to bytes; special tokens to their names, or nothing."""
        array = as_ids(ids)
        n_bytes = ffi.new("size_t *")
        arguments = self._open(), ids_pointer(array), len(array), int(special)
        check(lib.llq_tokenizer_decode(*arguments, ffi.NULL, 0, n_bytes))
        decoded = ffi.new("char[]", n_bytes[0] + 1)
        check(lib.llq_tokenizer_decode(*arguments, decoded, n_bytes[0], n_bytes))
        return bytes(ffi.buffer(decoded, n_bytes[0]))

    def decode(self, ids: npt.ArrayLike, *, special: bool = False) -> str:
        """Decodes ids to text; incomplete characters become U+FFFD."""
        return self.decode_bytes(ids, special=special).decode("utf-8", "replace")

    def chat(self, messages: Iterable[Mapping[str, str]], *,
             date: str | None = None, add_prompt: bool = True,
             continue_last: bool = False) -> str:
        """Renders messages in Llama 3.1's chat format.

        Parameters
        ----------
        messages : iterable of mappings
            Each with ``role`` and ``content``.
        date : str, optional
            The format's "Today Date", such as ``"26 Jul 2024"``.
        add_prompt : bool
            End with the header of an assistant's message.
        continue_last : bool
            The last message is an assistant's that the model continues.

        Returns
        -------
        str
            To be encoded with ``special=True`` and without ``bos``.
        """
        listed = list(messages)
        kept = [(ffi.new("char[]", m["role"].encode()),
                 ffi.new("char[]", m["content"].encode())) for m in listed]
        array = ffi.new("llq_message[]", kept)
        out = ffi.new("char **")
        mode = 2 if continue_last else int(add_prompt)
        check(lib.llq_tokenizer_chat(
            self._open(), array, len(listed),
            ffi.NULL if date is None else date.encode(), mode, out))
        rendered = ffi.gc(out[0], lib.llq_free)
        return text(rendered)

    def special(self, token: str) -> int | None:
        """The id of a special token such as ``<|eot_id|>``, if there is one."""
        found = int(lib.llq_tokenizer_special(self._open(), token.encode()))
        return found if found >= 0 else None

    @property
    def bos(self) -> int | None:
        """The BOS token's id, if there is one."""
        found = int(lib.llq_tokenizer_bos(self._open()))
        return found if found >= 0 else None

    @property
    def n_vocab(self) -> int:
        """How many ids there are: valid ones are 0 .. n - 1."""
        return int(lib.llq_tokenizer_n_vocab(self._open()))

    def __len__(self) -> int:
        return self.n_vocab
