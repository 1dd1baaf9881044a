#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What ptxas made of the kernels of sm_90: two errors of CUDA 13.0's that no compiler
tells, and a run does not always.

- A product of wgmma reads operand A from its registers until it is waited for. ptxas
  has been seen to use them for something else before (sm90/mixed_weight.cuh).
- A memory descriptor in an odd uniform register is an illegal instruction
  (common/stream_weight.cuh)."""

import importlib.util
import os
import re
import shutil
import subprocess

import oracle

PLUGIN = os.path.join(os.environ.get("top_builddir", "."), ".libs", "llq-cuda.so")
PREDICATE = re.compile(r"@!?U?P\w+\s+")
INSTRUCTION = re.compile(r"\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;")
# What has no destination, or only predicates, or is waited for by the hardware.
NOT_WRITING = re.compile(r"ST|RED|BAR|BRA|SYNCS|WARPGROUP|DEPBAR|HGMMA|UTMA|EXIT|CCTL|U")


def find_tool():
    """cuobjdump, with nvdisasm beside it: on the path, of CUDA, or of PyPI's packages."""
    found = importlib.util.find_spec("nvidia")
    folders = os.environ["PATH"].split(":") + ["/usr/local/cuda/bin"]
    folders += [os.path.join(f, "cu13", "bin") for f in
                (found.submodule_search_locations if found else [])]
    for folder in folders:
        if shutil.which("cuobjdump", path=folder) and shutil.which("nvdisasm", path=folder):
            return folder
    oracle.skip_all("no cuobjdump and nvdisasm")


def functions(lines):
    """(name, [(address, instruction)]) of each function of a listing."""
    name, code = None, []
    for line in lines:
        if "Function :" in line:
            if name:
                yield name, code
            name, code = line.split(":")[1].strip(), []
        elif found := INSTRUCTION.match(line):
            code.append((int(found[1], 16), found[2]))
    if name:
        yield name, code


def registers(operand, n):
    found = re.match(r"R(\d+)", operand)
    return set(range(int(found[1]), int(found[1]) + n)) if found else set()


def split(instruction):
    name, _, rest = PREDICATE.sub("", instruction).partition(" ")
    return name, [operand.strip() for operand in rest.split(",")]


def written(instruction):
    name, operands = split(instruction)
    if NOT_WRITING.match(name):
        return set()
    if ".128" in name or name.endswith(".4"):
        n = 4
    else:
        n = 2 if re.search(r"64|WIDE|\.2$|CS2R$", name) else 1
    return registers(operands[name.startswith("SHFL")], n)


class InFlight:
    """The groups of products that were issued and not yet waited for."""

    def __init__(self, groups=()):
        self.groups = list(groups) or [set()]

    def issue(self, name, operands):
        self.groups[-1] = self.groups[-1] | registers(operands[1], 4)
        if "gsb0" in operands:
            self.groups.append(set())

    def wait(self, n_left):
        self.groups = self.groups[max(0, len(self.groups) - 1 - n_left):]

    def registers(self):
        return set().union(*self.groups)


def overwritten(code, flight=None, begin=0, end=None):
    """Instructions that write to registers which products in flight may still read.
    Loops are gone through twice."""
    places = {address: i for i, (address, _) in enumerate(code)}
    is_again, flight, found = flight is not None, flight or InFlight(), []
    for i in range(begin, len(code) if end is None else end):
        name, operands = split(code[i][1])
        if name.startswith("HGMMA"):
            flight.issue(name, operands)
        elif name.startswith("WARPGROUP.DEPBAR"):
            flight.wait(int(operands[1], 16))
        elif name.startswith("BRA") and not is_again and flight.registers():
            target = places.get(int(operands[-1], 16), i)
            if target < i:
                found += overwritten(code, InFlight(flight.groups), target, i)
        elif written(code[i][1]) & flight.registers():
            found.append(code[i])
    return found


def listing(*instructions):
    return [(16 * i, text) for i, text in enumerate(instructions)]


def check_the_checker(tap):
    product = "HGMMA.64x64x16.F32.BF16 R24, R56, gdesc[UR4], R24, gsb0"
    load, wait = "LDS.128 R56, [R86]", "WARPGROUP.DEPBAR.LE gsb0, 0x0"
    tap.check(overwritten(listing(product, load, wait)), "a load into an operand is found")
    tap.check(overwritten(listing(load, product, "@P0 BRA 0x0", wait)), "so it is in a loop")
    tap.check(not overwritten(listing(load, product, wait, load)), "after a wait it may be")
    use = ("LDS.128 R60, [R56]", "ISETP.NE.AND P0, PT, R56, RZ, PT")
    tap.check(not overwritten(listing(product, *use)), "operands may be read")


def main():
    tap = oracle.Tap()
    if not os.path.exists(PLUGIN):
        oracle.skip_all("no llq-cuda.so was built")
    folder = find_tool()
    check_the_checker(tap)
    command = [os.path.join(folder, "cuobjdump"), "-arch", "sm_90a", "-sass", PLUGIN]
    environment = dict(os.environ, PATH=folder + ":" + os.environ["PATH"])
    n_kernels, odd = 0, []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as dump:
        for name, code in functions(dump.stdout):
            odd += [(name, text) for _, text in code if re.search(r"desc\[UR\d*[13579]\]", text)]
            if any("HGMMA" in text for _, text in code):
                n_kernels += 1
                tap.check(not (found := overwritten(code)), f"operands of {name}", found[:8])
    tap.check(dump.returncode == 0, "the plugin can be disassembled")
    tap.check(n_kernels > 0, "it has kernels of wgmma")
    tap.check(not odd, "descriptors are in even registers", odd[:8])
    tap.done()


main()
