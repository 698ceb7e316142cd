"""Problems: what is wrong with values that were given, field by field, without repeating what they held.

Reads pydantic's errors. Knows nothing of whom it is said to.
"""

from collections.abc import Sequence

from pydantic import ValidationError

from syncd.core.record import record


@record
class Problem:
    """What is wrong with the field at `path`, which is empty for all of them together."""

    path: Sequence[str]
    message: str


def problems_of(error: ValidationError) -> list[Problem]:
    """Return what is wrong, in the order of the fields.

    A list whose only items are wrong is not said to be too short as well.
    """
    found = error.errors(include_url=False, include_input=False, include_context=False)
    inside = {problem["loc"][:depth] for problem in found for depth in range(len(problem["loc"]))}
    return [
        Problem([str(part) for part in problem["loc"]], problem["msg"].removeprefix("Value error, "))
        for problem in found
        if problem["type"] != "too_short" or problem["loc"] not in inside
    ]
