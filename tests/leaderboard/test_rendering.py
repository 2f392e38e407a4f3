from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import matplotlib.image
import pytest
from rich.console import Console

from orchestrator.leaderboard import colours, picture, tables, terminal, webpage
from tests.leaderboard.synthetic import frame, row


@pytest.fixture
def grid():
    (made,) = tables.from_rows(
        frame([row("gad", 70), row("gad", 74, "ddi"), row("ddi", 60), row("ddi", 59, "gad"), row("gad", None, "hoc")])
    )
    return made


class Cells(HTMLParser):
    """Text and style of every table cell."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.open = False
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.open = tag == "td"
        if self.open:
            self.found.append(("", dict(attrs).get("style", "")))

    def handle_data(self, data):
        if self.open:
            self.found[-1] = (data, self.found[-1][1])

    def handle_endtag(self, tag):
        self.open = False


def test_gains_are_blue_losses_orange_and_larger_ones_stronger():
    gain, small_gain, loss = colours.of_change(4, 4), colours.of_change(1, 4), colours.of_change(-4, 4)
    assert gain[2] > gain[0] < small_gain[0] < 255
    assert loss[0] > loss[2]
    assert colours.of_change(0, 4) == colours.of_change(0, 0) == (255, 255, 255)
    assert colours.of_change(40, 4) == gain
    assert colours.legend(4.0)[:2] == [-4.0, -1.0]


def luminance(colour):
    """Relative luminance of WCAG 2."""
    linear = [
        (part / 255 / 12.92) if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("change", [-10, -5, -0.1, 0, 0.1, 5, 10])
def test_black_numbers_are_readable_on_every_colour(change):
    assert (luminance(colours.of_change(change, 10)) + 0.05) / 0.05 >= 7  # WCAG's enhanced contrast


def test_the_page_shows_every_cell_in_its_colour_and_needs_nothing_else(grid):
    page = webpage.page([[grid]], ["A sentence with <angles>."])
    cells = Cells()
    cells.feed(page)
    styles = dict(cells.found)
    assert styles["74.00"] == f"background:{colours.hexadecimal(colours.of_change(4, 4))}"
    assert styles["59.00"] == f"background:{colours.hexadecimal(colours.of_change(-1, 4))}"
    assert styles["70.00"] == styles["-"] == styles["failed"] == ""
    assert not cells.tags & {"script", "link", "img", "iframe"}
    assert not re.search(r"https?://|url\(|@import", page)
    assert "&lt;angles&gt;" in page
    assert "change +4.00" in page


def test_names_from_the_leaderboard_are_escaped_in_the_page():
    (made,) = tables.from_rows(frame([row("gad", 70, model="<script>x</script>")]))
    assert "<script>" not in webpage.page([[made]])


@pytest.mark.parametrize("std", [False, True])
def test_the_picture_is_a_png_of_readable_size_with_both_colours(grid, std):
    content = picture.png([grid, tables.from_published("bert_base")], ["A sentence."], std=std)
    pixels = matplotlib.image.imread(io.BytesIO(content), format="png")
    assert pixels.shape[1] >= 1500
    shades = {tuple(shade) for shade in (pixels[::5, ::5, :3] * 255).round().astype(int).reshape(-1, 3)}
    largest = tables.from_published("bert_base").largest_change
    assert colours.of_change(4, largest) in shades
    assert colours.of_change(-1, largest) in shades


def test_a_picture_of_baselines_alone():
    (made,) = tables.from_rows(frame([row("gad", 70)]))
    assert picture.png([made]).startswith(b"\x89PNG")


def printed(what, **options) -> str:
    out = io.StringIO()
    Console(file=out, highlight=False, **options).print(what)
    return out.getvalue()


def test_a_terminal_shows_colours_and_a_pipe_plain_text(grid):
    coloured = printed(terminal.grid_table(grid), width=100, force_terminal=True, color_system="truecolor")
    red, green, blue = colours.of_change(4, 4)
    assert f"48;2;{red};{green};{blue}" in coloured
    plain = printed(terminal.grid_table(grid), width=100)
    assert "\x1b" not in plain
    assert [line.split() for line in plain.splitlines()[1:]] == [["DDI", "60.00", "-", "59.00"], [
        "GAD", "70.00", "74.00", "-", "failed"]]  # fmt: skip


def test_blocks_stand_side_by_side_only_where_there_is_room(grid):
    for width, lines_with_two in ((300, True), (60, False)):
        console = Console(file=io.StringIO(), width=width)
        blocks = [terminal.grid_block(grid, 4.0), terminal.grid_block(grid, 4.0)]
        console.print(terminal.beside(blocks, console))
        shown = console.file.getvalue().splitlines()
        assert (
            any(line.count("GAD  ") + line.count("GAD ") // 2 > 1 and line.count("74.00") == 2 for line in shown)
            is lines_with_two
        )
