import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from backchannel.runtime import cpu

THREADS = 4


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no such thing here")
def test_the_threads_of_a_pool_share_one_cpu_and_no_other_thread_is_moved() -> None:
    before = os.sched_getaffinity(0)

    with ThreadPoolExecutor(THREADS, initializer=cpu.shared_by_threads()) as pool:
        found = list(pool.map(lambda _: frozenset(os.sched_getaffinity(0)), range(20)))

    assert len(set(found)) == 1
    assert len(found[0]) == 1
    assert found[0] <= before
    assert os.sched_getaffinity(0) == before


def test_each_thread_moves_itself_to_one_of_the_cpus_it_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[tuple[int, int, frozenset[int]]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    monkeypatch.setattr(
        os, "sched_setaffinity", lambda pid, cpus: moved.append((threading.get_ident(), pid, frozenset(cpus))), raising=False
    )
    together = threading.Barrier(THREADS)

    with ThreadPoolExecutor(THREADS, initializer=cpu.shared_by_threads()) as pool:
        threads = set(pool.map(lambda _: together.wait(10) * 0 + threading.get_ident(), range(THREADS)))

    assert {thread for thread, _, _ in moved} == threads
    assert {pid for _, pid, _ in moved} == {0}  # the caller
    ((chosen,),) = {cpus for _, _, cpus in moved}
    assert chosen in {3, 5, 7}


def test_where_threads_cannot_be_moved_nobody_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", asked.append, raising=False)

    cpu.shared_by_threads()()

    assert asked == []


@pytest.mark.parametrize("refused", ["sched_getaffinity", "sched_setaffinity"])
@pytest.mark.parametrize("error", [PermissionError(1, "Operation not permitted"), OSError(22, "Invalid argument")])
def test_a_pool_works_where_the_platform_refuses_to_move_its_threads(
    monkeypatch: pytest.MonkeyPatch, refused: str, error: OSError
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(os, refused, refuse)

    with ThreadPoolExecutor(THREADS, initializer=cpu.shared_by_threads()) as pool:
        assert list(pool.map(abs, [-1, -2])) == [1, 2]
