"""Signals end a wait, are counted, and strike nowhere else."""

import os
import signal
import subprocess
import sys
import time

import pytest

from frostline.interruptions import Interruptions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_wish_to_stop_ends_a_wait(number: signal.Signals) -> None:
    # under nohup SIGHUP is ignored, and then it is no wish
    before = signal.signal(number, signal.default_int_handler)
    with Interruptions() as interruptions:
        os.kill(os.getpid(), number)
        started = time.monotonic()

        assert interruptions.wait(60)

        assert time.monotonic() - started < 30
        os.kill(os.getpid(), number)
        assert interruptions.wait(60)
        assert interruptions.count == 2
    signal.signal(number, before)


def test_a_wait_without_a_signal_lasts_its_time() -> None:
    with Interruptions() as interruptions:
        started = time.monotonic()

        assert not interruptions.wait(0.1)

        assert time.monotonic() - started >= 0.1


def test_a_child_that_ends_ends_a_wait_but_is_no_wish_to_stop() -> None:
    with Interruptions() as interruptions:
        child = subprocess.Popen([sys.executable, "-c", ""])
        started = time.monotonic()

        assert not interruptions.wait(60)

        assert time.monotonic() - started < 30
        child.wait()


def test_the_signals_are_given_back() -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    with Interruptions():
        pass

    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_hang_up_that_nohup_has_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interruptions() as interruptions:
        os.kill(os.getpid(), signal.SIGHUP)

        assert not interruptions.wait(0.1)
    signal.signal(signal.SIGHUP, before)
