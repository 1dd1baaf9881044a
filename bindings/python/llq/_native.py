# SPDX-License-Identifier: Apache-2.0
"""What all objects share: calls, handles, structs, the log."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from . import errors
from ._llq import ffi, lib

Option = str | bytes | int | float | None
Path = str | os.PathLike[str]
Self = TypeVar("Self", bound="Handle")

_LEVELS = {lib.LLQ_LOG_ERROR: logging.ERROR,
           lib.LLQ_LOG_WARNING: logging.WARNING,
           lib.LLQ_LOG_INFO: logging.INFO,
           lib.LLQ_LOG_DEBUG: logging.DEBUG}


def text(pointer: Any) -> str:
    """A C string or char array; whatever its bytes are."""
    return str(ffi.string(pointer).decode("utf-8", "replace"))


def check(status: int) -> int:
    """Raises the exception of a negative status, with the library's message.

    Must run in the thread that made the call, before its next call.
    """
    if status >= 0:
        return status
    message = text(lib.llq_error_message())
    name = text(lib.llq_status_name(status))
    kind = errors.BY_NAME.get(name.removeprefix("LLQ_ERROR_"), errors.Error)
    raise kind(message or name, status, name)


def path(value: Path) -> bytes:
    """A path, or a model's name, as the bytes that C gets."""
    return os.fsencode(value)


def fill(kind: str, **values: Option | Any) -> tuple[Any, list[Any]]:
    """A new options struct, and what its pointers point to.

    A field of any name that the header has may be given: a field that is
    newer than these classes needs no change here. ``None`` is the default.
    """
    struct = ffi.new(kind + " *")
    struct.struct_size = ffi.sizeof(kind)
    fields = dict(ffi.typeof(kind).fields)
    kept: list[Any] = []
    for name, value in values.items():
        if name not in fields or name in ("struct_size", "reserved"):
            raise TypeError(f"{kind} has no option {name!r}")
        if value is None:
            continue
        if isinstance(value, (str, bytes, os.PathLike)):
            value = ffi.new("char[]", os.fsencode(value))
            kept.append(value)
        setattr(struct, name, value)
    return struct, kept


def new(kind: str) -> Any:
    """A new struct for the library to fill in."""
    struct = ffi.new(kind + " *")
    struct.struct_size = ffi.sizeof(kind)
    return struct


def values(struct: Any) -> dict[str, Any]:
    """The fields of a struct as Python values, by name."""
    result: dict[str, Any] = {}
    for name, field in ffi.typeof(struct).item.fields:
        if name in ("struct_size", "reserved"):
            continue
        value = getattr(struct, name)
        result[name] = text(value) if field.type.kind == "array" else value
    return result


@dataclass(frozen=True)
class Progress:
    """How far stepped work is.

    Attributes
    ----------
    done, total : int
        Units finished, and in all; ``total`` is 0 while that is unknown.
    unit : str
        ``"layers"``, ``"tokens"``, ...
    what : str
        What the last step worked on; may be empty.
    """

    done: int
    total: int
    unit: str
    what: str


class Handle:
    """An object of libllq.

    A context manager; ``close()`` may be called at any time and more than
    once. Threads may share an object: its calls wait for each other.
    """

    def __init__(self, lock: Any = None) -> None:
        self._pointer: Any = None
        self._lock = lock if lock is not None else threading.RLock()

    def _own(self, pointer: Any, close: Callable[[Any], None],
             *needs: Any) -> None:
        """Takes a C handle over; it is closed before what it needs is."""
        def destroy(handle: Any, _kept: tuple[Any, ...] = needs) -> None:
            close(handle)

        self._pointer = ffi.gc(pointer, destroy)

    def _open(self) -> Any:
        """The C handle; raises when this object is closed."""
        if self._pointer is None:
            raise errors.StateError(f"this {type(self).__name__} is closed")
        return self._pointer

    def close(self) -> None:
        """Lets go of the C handle, and of its memory.

        What is still in use by another object stays until that is closed.
        """
        with self._lock:
            self._pointer = None

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._pointer is None

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def steps(handle: Handle, step: Callable[[Any, Any], int]) -> Iterator[Progress]:
    """Steps until done. Between steps the caller may stop: nothing is left
    half-written, and Ctrl-C raises ``KeyboardInterrupt`` here."""
    state = new("llq_progress")
    more = True
    while more:
        with handle._lock:
            more = check(step(handle._open(), state)) == lib.LLQ_MORE
            progress = Progress(state.done, state.total,
                                text(state.unit) if state.unit else "",
                                text(state.what))
        yield progress


def check_layout() -> None:
    """Refuses a libllq whose structs are older than those compiled here."""
    for kind in ffi.list_types()[0]:
        if ffi.typeof(kind).kind != "struct":
            continue
        try:
            ours, theirs = ffi.sizeof(kind), lib.llq_sizeof(kind.encode())
        except ffi.error:  # opaque
            continue
        grows = ffi.typeof(kind).fields[0][0] == "struct_size"
        if theirs < ours or (theirs > ours and not grows):
            raise errors.VersionError(
                f"this llq was built for another libllq than "
                f"{text(lib.llq_version())}: {kind} has {ours} bytes here and "
                f"{theirs} there; install the two together")


@ffi.def_extern(name="llq_python_log")  # type: ignore[untyped-decorator]
def _log(_user: Any, level: int, line: Any) -> None:
    logging.getLogger("llq").log(_LEVELS.get(level, logging.INFO), "%s",
                                 text(line))


def connect_log() -> None:
    """Sends the library's log to the logger ``llq``."""
    lib.llq_log_set(lib.llq_python_log, ffi.NULL, lib.LLQ_LOG_INFO)
    atexit.register(lib.llq_log_set, ffi.NULL, ffi.NULL, 0)
