# SPDX-License-Identifier: Apache-2.0
"""Quantize Llama models, and measure what that does to the code they write.

>>> import llq
>>> llq.Model("llq-micro").tokenizer.decode([257])
'   '
"""

import os as _os

from . import plots
from ._llq import lib as _lib
from ._native import Progress, check_layout as _check_layout
from ._native import connect_log as _connect_log, text as _text
from .device import Backend, Device, devices
from .errors import (ArgumentError, DeviceError, Error, FileError, FormatError,
                     InternalError, OutOfMemoryError, SandboxError, StateError,
                     UnsupportedError, VersionError)
from .evaluator import Evaluator, Sweep, compare, report
from .generator import Generation, Generator, Perplexity, Sampling
from .model import SCHEMES, Model, ModelInfo, QuantizedLinear, Quantizer
from .results import Comparison, Run, SweepResult, SweepRow
from .tokenizer import Tokenizer

_check_layout()
_connect_log()

__version__ = _text(_lib.llq_version())

# A wheel that carries libllq carries its model and tasks, too.
_data = _os.path.join(_os.path.dirname(__file__), "data")
if _os.path.isdir(_data):
    _os.environ.setdefault("LLQ_DATA", _data)

__all__ = [
    "ArgumentError", "Backend", "Comparison", "Device", "DeviceError", "Error",
    "Evaluator", "FileError", "FormatError", "Generation", "Generator",
    "InternalError", "Model", "ModelInfo", "OutOfMemoryError", "Perplexity",
    "Progress", "QuantizedLinear", "Quantizer", "Run", "SCHEMES",
    "Sampling", "SandboxError", "StateError", "Sweep", "SweepResult",
    "SweepRow", "Tokenizer", "UnsupportedError", "VersionError", "compare",
    "devices", "plots", "report",
]
