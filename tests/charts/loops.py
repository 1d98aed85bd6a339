"""One test over many cases: what fails names the case."""

import inspect
from collections.abc import Callable, Collection
from typing import Any

from tests.charts.scenarios import SCENARIOS

Test = Callable[..., None]


def for_each(cases: Collection[Any], name: Callable[[Any], object] = str) -> Callable[[Test], Test]:
    """The test gets each case as its first argument. The first that fails ends it, with a note of its name."""
    assert cases

    def decorate(test: Test) -> Test:
        signature = inspect.signature(test)

        def looped(**fixtures: Any) -> None:
            for case in cases:
                try:
                    test(case, **fixtures)
                except BaseException as error:
                    error.add_note(f"the case: {name(case)}")
                    raise

        looped.__name__, looped.__doc__, looped.__module__ = (
            test.__name__,
            test.__doc__,
            test.__module__,
        )
        _, *others = signature.parameters.values()
        looped.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        return looped

    return decorate


for_each_scenario = for_each(SCENARIOS)
