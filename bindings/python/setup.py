# SPDX-License-Identifier: Apache-2.0
"""The version is libllq's, so that it stands in one place."""

import os
import sys

import setuptools

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import llq_build  # noqa: E402

setuptools.setup(version=llq_build.pkg_config("--modversion"),
                 cffi_modules=["llq_build.py:builder"])
