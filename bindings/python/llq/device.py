# SPDX-License-Identifier: Apache-2.0
"""Backends and the devices they find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._llq import ffi, lib
from ._native import Handle, check, fill, new, values


@dataclass(frozen=True)
class Device:
    """One device of one backend; see ``llq_device_info`` in libllq.

    Attributes
    ----------
    backend : str
        ``"cpu"`` or ``"cuda"``.
    index : int
        Counts from 0 within a backend.
    usable : bool
        False when `reason` says why not.
    name, arch, driver : str
        The device's name, its kernels, its driver's version.
    reason : str
        Why it is not usable; empty if it is.
    memory_bytes, memory_free_bytes : int
        0 if unknown.
    n_units : int
        Cores or multiprocessors.
    """

    backend: str
    index: int
    usable: bool
    name: str
    arch: str
    reason: str
    memory_bytes: int
    memory_free_bytes: int
    n_units: int
    driver: str

    @classmethod
    def _of(cls, info: Any) -> Device:
        known = values(info)
        known["usable"] = bool(known["usable"])
        return cls(**{name: known[name] for name in cls.__dataclass_fields__})


def devices() -> list[Device]:
    """All devices of all backends, usable or not; the CPU first."""
    count = ffi.new("size_t *")
    check(lib.llq_device_count(count))
    found = []
    for index in range(count[0]):
        info = new("llq_device_info")
        check(lib.llq_device_get(index, info))
        found.append(Device._of(info))
    return found


class Backend(Handle):
    """A backend opened on one device.

    Objects that share a backend run one at a time; for several threads at
    once, open a backend for each.

    Parameters
    ----------
    name : str, optional
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``; by default the environment's
        ``LLQ_BACKEND``, else ``"cpu"``.
    arch : str, optional
        The kernels: ``"reference"``, ``"avx2"``, ``"sm80"``, ...; by default
        the best that the device can run.
    n_threads : int
        CPU threads; 0 = as many as cores allowed.
    """

    def __init__(self, name: str | None = None, *, arch: str | None = None,
                 n_threads: int = 0) -> None:
        super().__init__()
        options, _kept = fill("llq_backend_options", arch=arch,
                              n_threads=n_threads)
        out = ffi.new("llq_backend **")
        check(lib.llq_backend_open(
            out, ffi.NULL if name is None else name.encode(), options))
        self._own(out[0], lib.llq_backend_close)

    @property
    def device(self) -> Device:
        """The device it runs on, with the kernels in use."""
        with self._lock:
            info = new("llq_device_info")
            check(lib.llq_backend_describe(self._open(), info))
            return Device._of(info)

    def __repr__(self) -> str:
        if self.closed:
            return "Backend(closed)"
        device = self.device
        return f"Backend({device.backend}:{device.index} {device.arch})"
