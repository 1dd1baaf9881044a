# SPDX-License-Identifier: Apache-2.0
"""libllq's result codes as exceptions."""

from __future__ import annotations


class Error(Exception):
    """What a call of libllq failed with.

    Attributes
    ----------
    status : int
        The code, such as ``-40``.
    name : str
        The code's name, such as ``"LLQ_ERROR_FORMAT"``.
    """

    def __init__(self, message: str, status: int = 0, name: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.name = name


class ArgumentError(Error, ValueError):
    """The call is wrong: change the call."""


class OutOfMemoryError(Error, MemoryError):
    """Out of memory, on the host or a device."""


class FileError(Error, OSError):
    """A file cannot be read or written."""


class FormatError(Error, ValueError):
    """A file's content is invalid."""


class UnsupportedError(Error, NotImplementedError):
    """Valid, but not something libllq does."""


class DeviceError(Error, RuntimeError):
    """A backend or its device failed."""


class SandboxError(Error, RuntimeError):
    """Untrusted code cannot be isolated here."""


class VersionError(Error, RuntimeError):
    """The binding, a plugin and the library don't match."""


class StateError(Error, RuntimeError):
    """The object cannot do this now."""


class InternalError(Error, RuntimeError):
    """A bug in libllq: report it."""


#: The exception of each code, by the code's name without ``LLQ_ERROR_``.
BY_NAME: dict[str, type[Error]] = {
    "ARGUMENT": ArgumentError,
    "MEMORY": OutOfMemoryError,
    "IO": FileError,
    "FORMAT": FormatError,
    "UNSUPPORTED": UnsupportedError,
    "DEVICE": DeviceError,
    "SANDBOX": SandboxError,
    "VERSION": VersionError,
    "STATE": StateError,
    "INTERNAL": InternalError,
}
