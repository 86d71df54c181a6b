"""Freed memory goes back to the kernel, whatever sizes were freed before."""

import ctypes
import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from nplconf.watch import memory

LARGE = 300 << 10
SCRIPT = f"""
import ctypes, json, sys, threading
from nplconf.watch import memory

class Figures(ctypes.Structure):  # of mallinfo2
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

figures = ctypes.CDLL(None).mallinfo2
figures.restype = Figures
exec(sys.argv[1])
large = bytearray({LARGE})
del large
mapped = figures().hblkhd
large = bytearray({LARGE})
found = {{"mapped": figures().hblkhd - mapped}}
small = [bytes(4000) for _ in range(5000)]
last = bytes(4000)  # keeps the heap from being cut at its end
del small
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
memory.trim()
found["trimmed"] = before - resident()
print(json.dumps(found))
"""


def found(setting: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, setting], capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_large_block_is_mapped_by_itself_also_after_another_was_freed() -> None:
    assert found("memory.limit_heaps()")["mapped"] >= LARGE
    assert found("")["mapped"] == 0, "glibc has no such effect any more: limit_heaps is not necessary"


def test_free_pages_inside_of_the_heap_are_returned() -> None:
    assert found("memory.limit_heaps()")["trimmed"] > 10 << 20


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    memory._library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    memory.limit_heaps()
    memory.trim()
    memory._library.cache_clear()
