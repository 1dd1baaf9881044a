# SPDX-License-Identifier: Apache-2.0
"""Synthetic programming problems for llq-micro.

`problem.draw(rng)` draws one problem; `document.write(rng)` turns problems
into training text; `split.bucket(key)` says which problems are held out.
"""
