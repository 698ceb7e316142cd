"""The benchmarks run: tiny, and without a look at the figures."""

from pathlib import Path

import pytest

from benchmarks.__main__ import SCENARIOS, main, run
from benchmarks.bench import Bench
from benchmarks.report import Figure, Result, markdown, quantile

TINY = Bench(seconds=0.3, scale=0.01)


@pytest.mark.parametrize("name", ["fanout", "many", "streaming"])
async def test_a_scenario_runs(name: str) -> None:
    """Small enough for every day, it gives figures that are above zero, and ends what it started."""
    result = await run(SCENARIOS[name], TINY)

    assert result.figures
    assert all(figure.value > 0 for figure in result.figures if figure.unit in ("µs", "ms"))


def test_the_command_writes_a_page(tmp_path: Path) -> None:
    """One page for each scenario that was asked for; the exit code says whether its targets were met."""
    code = main(["--only", "ack", "--seconds", "0.2", "--results", str(tmp_path)])

    page = (tmp_path / "ack.md").read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["ack.md"]
    assert "| ack, p50 |" in page
    assert code == (1 if "missed" in page else 0)


def test_a_missed_target_shows() -> None:
    """The page says it where it is, and the result as a whole is not met."""
    result = Result("Speed", "On a quiet day.", (Figure("slow", 7.0, "ms", 5.0), Figure("fast", 3.0, "ms", 5.0)))

    page = markdown(result)

    assert not result.met
    assert "| slow | 7 ms | < 5 ms ✗ **missed** |" in page
    assert "| fast | 3 ms | < 5 ms ✓ |" in page


def test_quantiles() -> None:
    """The value below which that share lies, the largest at the end."""
    values = [float(number) for number in range(100, 0, -1)]

    assert (quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1.0)) == (51.0, 100.0, 100.0)
