from __future__ import annotations

from dataclasses import replace
import os
import subprocess
import sys
import time

import psutil
import pytest

from optuna_robust._running.process import Process
from optuna_robust._running.process import this_process


# Says who it is, and waits to be ended. Linux lists processes by names like this one.
CHILD = """
import sys
if sys.platform == "linux":
    with open("/proc/self/comm", "w") as name:
        name.write("a) Z (1 2 3")
from optuna_robust._running.process import this_process
me = this_process()
print(me.host, me.pid, repr(me.started), sep="\\n", flush=True)
sys.stdin.read()
"""

# Says whether a process is alive.
WITNESS = """
import sys
from optuna_robust._running.process import Process
print(Process(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])).is_alive())
"""


def begin_child() -> tuple[subprocess.Popen[str], Process]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    host, pid, started = (child.stdout.readline().strip() for _ in range(3))
    return child, Process(host, int(pid), float(started))


def test_this_process_is_alive_and_local() -> None:
    me = this_process()
    assert me.pid == os.getpid()
    assert me.is_local
    assert me.is_alive()
    assert this_process() == me


def test_another_process_sees_this_one() -> None:
    me = this_process()
    done = subprocess.run(
        [sys.executable, "-c", WITNESS, me.host, str(me.pid), repr(me.started)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "True\n"


def test_a_process_is_alive_until_it_is_killed_even_if_nobody_took_notice() -> None:
    child, process = begin_child()
    with child:
        assert process.pid == child.pid
        assert process.is_local
        assert process.is_alive()
        child.kill()
        # Its entry stays until its parent asks for the exit status: a zombie, on POSIX.
        deadline = time.monotonic() + 30
        while process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not process.is_alive()
        if os.name == "posix":
            assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
        child.wait()
        assert not process.is_alive()


def test_a_process_that_ended_by_itself_is_dead() -> None:
    child, process = begin_child()
    child.communicate()
    assert child.returncode == 0
    assert not process.is_alive()


@pytest.mark.parametrize("seconds", [-1000, -2, 2, 1000])
def test_another_process_with_the_same_id_is_not_the_process(seconds: float) -> None:
    me = this_process()
    assert not replace(me, started=me.started + seconds).is_alive()


def test_a_start_time_may_be_told_a_little_differently() -> None:
    me = this_process()
    assert replace(me, started=me.started - 0.5).is_alive()
    assert replace(me, started=me.started + 0.5).is_alive()


def test_a_process_from_before_the_machine_was_booted_is_dead() -> None:
    me = this_process()
    name, boot, _ = me.host.partition(" boot:")
    if not boot:
        pytest.skip("boots have no names here")
    there = replace(me, host=f"{name}{boot}{'0' * 36}")
    assert there.is_local
    assert not there.is_alive()


def test_an_id_that_no_process_has_is_dead() -> None:
    assert not replace(this_process(), pid=2**22 + 1).is_alive()


def test_of_another_machine_it_is_not_known() -> None:
    there = replace(this_process(), host="elsewhere")
    assert not there.is_local
    with pytest.raises(ValueError, match=f"Process {there.pid} ran on elsewhere, not on "):
        there.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_is_another_one() -> None:
    me = this_process()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, f"{this_process().pid} {me.is_alive()}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        assert told.read() == f"{child} True"
    os.waitpid(child, 0)
