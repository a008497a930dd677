import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from backchannel.runtime import cpu


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no such thing here")
def test_the_threads_of_a_pool_share_one_cpu_and_no_other_thread_is_moved() -> None:
    before = os.sched_getaffinity(0)

    with ThreadPoolExecutor(4, initializer=cpu.shared_by_threads()) as pool:
        found = list(pool.map(lambda _: frozenset(os.sched_getaffinity(0)), range(20)))

    assert len(set(found)) == 1
    assert len(found[0]) == 1
    assert found[0] <= before
    assert os.sched_getaffinity(0) == before


def test_where_threads_cannot_be_moved_they_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)

    cpu.shared_by_threads()()
