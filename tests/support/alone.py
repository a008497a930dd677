"""Some tests take away from the local stack what others need. These have the marker `alone` or `quiet`.

Nothing runs beside them on their local stack.
"""

_may_take_away = True


def now_running(*, alone: bool) -> None:
    """Say whether the test that runs from now on has one of the markers."""
    global _may_take_away  # noqa: PLW0603 - a process runs one test at a time
    _may_take_away = alone


def takes_away(what: str) -> None:
    """Say what the test is about to take away.

    Raises:
        AssertionError: other tests may run beside it.

    """
    assert _may_take_away, f"this test takes away {what}: mark it with @pytest.mark.alone (docs/testing.md)"
