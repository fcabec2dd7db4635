"""Fixtures of this folder."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tausweep.storage.attempts.records import Process


@pytest.fixture(scope="module")
def dead():
    """A process of this machine that has ended."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Process.of(child.pid)
    child.communicate()
    return process
