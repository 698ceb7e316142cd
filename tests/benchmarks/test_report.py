"""What the scenarios find becomes pages, plots, targets and the README's table."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import fanout, readme, targets
from benchmarks.plot import svg
from benchmarks.report import Figure, Result, load, markdown, save, table

ROW = fanout.window_row(100, 32)
#: As fast beside its peers as is wanted, and a little faster.
FAST = {targets.Y_WEBSOCKET: 8.4, targets.HOCUSPOCUS: 1.21, targets.PYCRDT: 32.8}


def fan_out(value: float, peers: dict[str, float]) -> Result:
    figure = Figure(ROW, value, "µs", None, fanout.CPU, peers)
    return Result("Fan-out", "On a quiet day.", (figure,), (fanout.CPU,))


def test_a_missed_target_shows() -> None:
    """The page says it where it is, and the result as a whole is not met."""
    result = Result("Speed", "On a quiet day.", (Figure("slow", 7.0, "ms", 5.0), Figure("fast", 3.0, "ms", 5.0)))

    page = markdown(result)

    assert not result.met
    assert "| slow | 7 ms | < 5 ms ✗ **missed** |" in page
    assert "| fast | 3 ms | < 5 ms ✓ |" in page


def test_peers_stand_in_columns() -> None:
    """One table for each group; a peer without a figure has a dash, and versions are named."""
    compared = {"syncd": {"CPU: a": 1.0, "CPU: b": 2.0}, "Other": {"CPU: a": 12.345}}

    page = markdown(Result("Speed", "On a quiet day.", table(compared, "CPU", "ab", "µs")), versions={"Other": "v7"})

    assert "## CPU\n| what | syncd | Other |" in page.replace("\n\n", "\n")
    assert "| a | 1 µs | 12.3 µs |" in page
    assert "| b | 2 µs | – |" in page
    assert "Beside Other: v7." in page


def test_a_heavy_load_generator_is_flagged() -> None:
    """Where it used as much as the server, the figure says so, and below it why."""
    compared = {"syncd": {"load: a": 40.0}, "Other": {"load: a": 100.0}}

    page = markdown(Result("Speed", "", table(compared, "load", "a", "%", flag=100.0)))

    assert "| a | 40 % | 100 % ⚠ |" in page
    assert "⚠: the load generator" in page


def test_results_come_back_from_disk(tmp_path: Path) -> None:
    """What is read is what was written."""
    result = fan_out(0.4, FAST)

    save(result, tmp_path / "fanout.json")

    assert load(tmp_path / "fanout.json") == Result("Fan-out", "On a quiet day.", result.figures, [fanout.CPU])


def test_a_plot_has_a_bar_for_every_figure() -> None:
    """Well-formed SVG, as long as the row's largest allows, and a style for dark pages."""
    drawn = svg(fan_out(0.4, {"y-websocket": 8.0, "a & b": 4.0}))

    bars = [float(each.attrib["width"]) for each in ElementTree.fromstring(drawn).iter() if each.tag.endswith("rect")]
    assert bars == [21.0, 420.0, 210.0]
    assert "prefers-color-scheme: dark" in drawn


@pytest.mark.parametrize(("value", "verdict"), [(0.4, "met"), (0.8, "**short by 48 %**")])
def test_targets_are_ratios_of_one_run(value: float, verdict: str) -> None:
    """Twenty times the deliveries of y-websocket for each CPU second; what is missing is said in per cent."""
    page, missed = targets.page({"fanout": fan_out(value, FAST)})

    reached = "21" if verdict == "met" else "10.5"
    line = f"| {reached} × y-websocket | {verdict} |"
    assert any(text.endswith(line) for text in page.splitlines()), page
    assert bool(missed) == (verdict != "met")


def test_what_was_not_measured_is_not_missed() -> None:
    """A run of one scenario says nothing of the others."""
    page, missed = targets.page({})

    assert page.count("not measured") == len(targets.TARGETS)
    assert not missed


def test_the_readme_gets_its_table(tmp_path: Path) -> None:
    """Between its two comments, as often as it is asked for, and nothing else is touched."""
    path = tmp_path / "README.md"
    path.write_text("before\n<!-- figures: old -->\nold\n<!-- end of figures -->\nafter\n", encoding="utf-8")

    for _ in range(2):
        readme.refresh(path, {"fanout": fan_out(0.4, FAST)})

    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- figures: from")
    assert text.endswith("\n\n<!-- end of figures -->\nafter\n")
    assert "1 / 32 tokens in flight | – / 0.4 µs | – / 8.4 µs |" in text
    assert "old" not in text


def test_a_readme_without_a_place_is_refused(tmp_path: Path) -> None:
    """It is not overwritten by guesswork."""
    path = tmp_path / "README.md"
    path.write_text("no place", encoding="utf-8")

    with pytest.raises(ValueError, match="no place for figures"):
        readme.refresh(path, {})
