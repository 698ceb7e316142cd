"""The benchmarks run: tiny, syncd alone, and without a look at the figures."""

from pathlib import Path

import pytest

from benchmarks.__main__ import SCENARIOS, main, run
from benchmarks.bench import Bench, medians
from benchmarks.native import program
from benchmarks.report import load, quantile
from benchmarks.servers import KINDS, Hocuspocus, Server, Unavailable
from benchmarks.targets import TARGETS

#: So small that one or two sessions or readers are left of hundreds.
TINY = Bench(seconds=0.2, scale=0.003)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "ack"])
async def test_a_scenario_runs(name: str) -> None:
    """Small enough for every day, it gives figures that are above zero, among them those that are held to targets."""
    result = await run(SCENARIOS[name], TINY)

    assert result.figures
    assert all(figure.value and figure.value > 0 for figure in result.figures if figure.unit in ("µs", "ms"))
    groups = result.groups()
    assert set(result.plots) <= set(groups)
    for target in TARGETS:
        if target.scenario == name:  # A renamed row would be 'not measured' for ever. Those with a size differ here.
            rows = {figure.what for figure in groups[target.group]}
            assert target.row in rows or any(letter.isdigit() for letter in target.row)


async def test_servers_take_turns() -> None:
    """A peer's figures stand beside syncd's; the relay is one, and needs nothing but a compiler."""
    if program("relay") is None:
        pytest.skip("the relay needs a C compiler: install gcc and libc6-dev to run this test")
    said: list[str] = []

    def say(what: str, *, lasting: bool = False) -> None:
        said.append(what)

    result = await run(SCENARIOS["ack"], Bench(0.1, 0.01, 2, (Server, KINDS["relay"]), say))

    assert said == ["syncd, round 1 of 2", "C relay, round 1 of 2", "syncd, round 2 of 2", "C relay, round 2 of 2"]
    assert result.columns() == ["syncd", "C relay"]
    # The relay acks nothing.
    assert all(figure.peers["C relay"] > 0 for figure in result.figures if "ack" not in figure.what)


async def test_a_peer_that_fails_is_left_out() -> None:
    """It is said once, and the others go on; syncd itself has to run."""
    said: list[str] = []

    def say(what: str, *, lasting: bool = False) -> None:
        said.extend([what] if lasting else [])

    async def measure(kind: type[Server]) -> dict[str, float]:
        if kind is not Server:
            raise RuntimeError("no")
        return {"fast": 1.0}

    bench = Bench(0.1, rounds=3, kinds=(Server, Hocuspocus), say=say)

    assert await bench.compare(measure) == {"syncd": {"fast": 1.0}}
    assert said == ["Hocuspocus failed and is left out: RuntimeError no"]


def test_the_command_writes_a_page(tmp_path: Path) -> None:
    """Page, plot and figures of each scenario that was asked for, and what the targets make of it."""
    code = main(["--only", "ack", "--peers", "none", "--seconds", "0.2", "--rounds", "1", "--results", str(tmp_path)])

    page = (tmp_path / "ack.md").read_text(encoding="utf-8")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ack.json", "ack.md", "ack.svg", "targets.md"]
    assert "| push to ack on disk, p50 |" in page
    assert "![Latency](ack.svg)" in page
    assert load(tmp_path / "ack.json").columns() == ["syncd"]
    assert code == (1 if "missed" in page else 0)


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """Every scenario and every peer is named, with how to choose them."""
    with pytest.raises(SystemExit):
        main(["--help"])

    said = capsys.readouterr().out
    assert all(name in said for name in [*SCENARIOS, *KINDS, "--quick", "--rounds", "make bench-peers"])


def test_an_unknown_peer_is_named() -> None:
    """A slip of the keyboard does not measure the wrong thing."""
    with pytest.raises(SystemExit, match="no peer 'y-websokcet'"):
        main(["--only", "ack", "--peers", "y-websokcet"])


def test_a_peer_that_is_not_installed_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is left out, with the command that installs it."""
    monkeypatch.setattr("benchmarks.servers._NODE_MODULES", tmp_path)

    with pytest.raises(Unavailable, match="make bench-peers"):
        Hocuspocus.check()


def test_medians() -> None:
    """Each over the rounds that have it."""
    assert medians([{"a": 1.0}, {"a": 9.0, "b": 5.0}, {"a": 2.0, "b": 7.0}]) == {"a": 2.0, "b": 6.0}


def test_quantiles() -> None:
    """The value below which that share lies, the largest at the end."""
    values = [float(number) for number in range(100, 0, -1)]

    assert (quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1.0)) == (51.0, 100.0, 100.0)
