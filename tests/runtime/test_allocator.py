from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.runtime.allocator import keep_freed_memory

FAULTS_OF_COPIES = """
import json, resource, sys
from autoseg.runtime.allocator import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == "kept" else False
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
array = bytearray(2**26)
bytearray(array)
before = faults()
for _ in range(5):
    bytearray(array)
print(json.dumps([kept, faults() - before]))
"""

SIZE_AFTER_FREEING = """
import json, os, sys
from autoseg.runtime.allocator import give_back_freed_memory, keep_freed_memory

def pages(): return int(open("/proc/self/statm").read().split()[1])
keep_freed_memory()
arrays = [bytearray(2**20) for _ in range(256)]
held, keeper = pages(), bytearray(2**20)
del arrays
freed = pages()
give_back_freed_memory()
print(json.dumps([freed / held, pages() / held]))
"""


def answer_of(how: str, **environment: str) -> tuple[bool, int]:
    kept, faults = said(FAULTS_OF_COPIES, how, **environment)
    return bool(kept), int(faults)


def said(program: str, *arguments: str, **environment: str) -> list[float]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "LD_PRE"))}
    words = [sys.executable, "-c", program, *arguments]
    there = Path(__file__).parents[2]
    done = subprocess.run(words, check=True, capture_output=True, cwd=there, env={**clean, **environment})
    return list(json.loads(done.stdout))


glibc = pytest.mark.skipif(
    not hasattr(os, "confstr") or "glibc" not in os.confstr("CS_GNU_LIBC_VERSION"), reason="no glibc"
)


@glibc
def test_copies_of_a_large_array_take_no_new_pages() -> None:
    pages = 5 * 2**26 // os.sysconf("SC_PAGE_SIZE")
    assert answer_of("given back")[1] > 0.9 * pages
    kept, faults = answer_of("kept")
    assert kept
    assert faults < 0.1 * pages


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_what_the_user_set_is_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    assert not keep_freed_memory()


@glibc
def test_what_is_kept_can_be_given_back_once() -> None:
    freed, given_back = said(SIZE_AFTER_FREEING)
    assert freed > 0.9
    assert given_back < 0.2
