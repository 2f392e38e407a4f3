from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows
from orchestrator.leaderboard.__main__ import main
from tests.leaderboard.filled import fill, write_rows
from tests.leaderboard.synthetic import CHOSEN, experiment, keyed, result


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    store = Store(str(tmp_path_factory.mktemp("runs")))
    write_rows(store, fill(store))
    return store.root


@pytest.fixture(autouse=True)
def here(storage, monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_STORAGE", storage)


@pytest.fixture
def ask(capsys):
    def run(*arguments: str) -> str:
        assert main(arguments) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(capsys):
    def run(*arguments: str) -> str:
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert "Traceback" not in error
        return error

    return run


def test_show_puts_the_best_first_within_each_task_and_errors_last(ask):
    lines = ask("show").splitlines()
    assert lines[0].split()[:2] == ["task", "score"]
    assert [line.split()[0] for line in lines[1:]] == ["chemprot"] * 4 + ["ddi"] * 2 + ["gad"] * 4
    scores = [float(line.split()[1]) for line in lines if line.startswith("gad")]
    assert scores == sorted(scores, reverse=True)
    assert "loss is NaN at step 7" in lines[5]
    assert "with learning rate 5" not in lines[5]
    assert max(map(len, lines)) < 250


def test_show_filters_sorts_and_limits(ask):
    out = ask("show", "--task", "gad", "--intermediate", "ddi", "--sort", "seed", "--columns", "seed", "score", "task")
    assert [line.split()[0] for line in out.splitlines()] == ["seed", "1", "0"]
    out = ask("show", "--status", "finished", "--sort", "task", "--reverse", "--limit", "1")
    assert out.splitlines()[1].startswith("gad")
    assert out.splitlines()[-1] == "1 of 8 rows; --limit takes more"
    assert ask("show", "--sort", "teachers", "--columns", "error").count("with learning rate 5") == 2


def test_show_refuses_what_is_not_there(refused):
    assert "did you mean 'score'" in refused("show", "--columns", "scores")
    assert "did you mean 'own_seconds'" in refused("show", "--sort", "own_second")
    assert "no rows with task 'gaad'; did you mean 'gad'" in refused("show", "--task", "gaad")
    assert "leave one out" in refused("show", "--task", "ddi", "--status", "finished")
    assert "at least 1" in refused("show", "--limit", "0")
    assert "--storage='' names nothing" in refused("show", "--storage", "")


@pytest.fixture
def searched(tmp_path) -> str:
    """A storage with two trials of a search, and a table's row."""
    store = Store(str(tmp_path / "searched"))
    for trial, gamma in enumerate((0.9, 0.6)):
        asked = experiment("ddi").distilled_recipe({**CHOSEN, "gamma": gamma}, 0, study="joint", trial=trial)
        results = {stage.key: result("micro_f1", 0.8) for stage in keyed(asked).stage.walk() if stage.stored}
        results[asked.stage.key]["metrics"] |= {"test/l_at": 98.97, "test/ece": 0.0512, "test/micro_f1": 0.7}
        rows.write(store.filesystem, store.root, rows.build("search", asked, results))
    table = keyed(experiment("ddi").student_recipe(CHOSEN, 0))
    rows.write(store.filesystem, store.root, rows.build("table", table, {table.stage.key: result("micro_f1", 0.8)}))
    return store.root


def test_show_has_columns_of_distillations_and_searches_where_there_are_some(ask, searched):
    out = ask("show", "--storage", searched)
    assert out.split("\n")[0].split() == [
        *("task", "score", "dev_score", "retention", "ece", "l_at", "method", "model", "intermediate", "teachers"),
        *("seed", "trial", "sweep", "own_seconds", "inherited_seconds", "device", "status"),
    ]
    assert ["ddi", "70.00", "50.00", "87.50", "5.12", "98.97"] in [line.split()[:6] for line in out.splitlines()]
    usual = ask("show", "--storage", searched, "--sweep", "table").split("\n")[0].split()
    assert not {"retention", "ece", "l_at", "teachers", "trial"} & set(usual)
    out = ask("show", "--storage", searched, "--study", "joint", "--sort", "trial", "--columns", "trial", "switch_rate")
    assert [line.split() for line in out.splitlines()] == [["trial", "switch_rate"], ["1", "0.6"], ["0", "0.9"]]


def test_show_has_the_study_beside_the_trial_where_there_are_several(ask, searched):
    store = Store(searched)
    asked = keyed(experiment("ddi").distilled_recipe(CHOSEN, 1, study="other", trial=0))
    results = {stage.key: result("micro_f1", 0.8) for stage in asked.stage.walk() if stage.stored}
    rows.write(store.filesystem, store.root, rows.build("search", asked, results))
    header = ask("show", "--storage", searched).split("\n")[0].split()
    assert header[header.index("seed") :][:3] == ["seed", "study", "trial"]
    header = ask("show", "--storage", searched, "--study", "joint").split("\n")[0].split()
    assert "trial" in header
    assert "study" not in header


def test_doktra_prints_tables_beside_the_papers_and_writes_a_page(ask, searched, tmp_path):
    file = tmp_path / "tables.html"
    out = ask("doktra", "--table", "2", "6", "--storage", searched, "--html", str(file))
    assert "DoKTra, Table 2: main results (sweep table)" in out
    assert "DoKTra, Table 6: ablation on ChemProt (not run yet)" in out
    (line,) = [line for line in out.splitlines() if line.startswith("ALBERT-ft (student)") and "81.31" in line]
    assert "80.00 (1) | 81.31 ±0.72" in line
    assert "70.00" not in out  # trials
    assert "80.00 (1)" in file.read_text()


def test_doktra_refuses_other_tables_and_sweeps(refused, searched):
    assert "2, 3, 4, 5, 6, 7" in refused("doktra", "--table", "8")
    assert "did you mean 'table'" in refused("doktra", "--table", "2", "--sweep", "tabel", "--storage", searched)


def test_grid_prints_and_writes_page_and_picture(ask, tmp_path):
    page, image = tmp_path / "grid.html", tmp_path / "grid.png"
    out = ask("grid", "--std", "--published", "pubmedbert", "--html", str(page), "--png", str(image))
    assert "mini: sweep grid, test scores" in out
    assert "pubmedbert: published (STILT paper, Table 3)" in out
    assert "Of 2 pairs in both" in out
    assert "BioASQ" not in out  # only what ours has, so that rows and columns are the same
    assert "82.17" in out
    assert "±" in out
    assert "failed" in out
    assert "\x1b" not in out
    assert "failed" in page.read_text()
    assert image.read_bytes().startswith(b"\x89PNG")


def test_grid_beside_the_published_one_of_a_model_that_the_paper_lacks(ask):
    assert "bert_base: published" in ask("grid", "--published")


def test_grid_marks_significant_changes(ask):
    out = ask("grid", "--significance")
    assert "differs from the baseline" in out
    (gad,) = [line for line in out.splitlines() if line.startswith("GAD")]
    assert gad.split()[2].endswith("*")


def test_grid_refuses_unknown_sweeps_models_and_places(refused, tmp_path):
    assert "did you mean 'grid'" in refused("grid", "--sweep", "grit")
    assert "did you mean 'mini'" in refused("grid", "--model", "mimi")
    assert "did you mean 'pubmedbert'" in refused("grid", "--published", "pubmed_bert")
    assert "cannot be written" in refused("grid", "--png", str(tmp_path / "no" / "grid.png"))


def test_sql_answers_over_rows_and_published_numbers(ask):
    query = "SELECT task, count(*) AS n, max(score) AS best FROM leaderboard WHERE score > 0 GROUP BY ALL ORDER BY task"
    assert [line.split()[:2] for line in ask("sql", query).splitlines()] == [
        ["task", "n"],
        ["chemprot", "4"],
        ["gad", "4"],
    ]
    joined = "SELECT count(*) AS n FROM published p SEMI JOIN leaderboard l ON p.task = l.task WHERE paper = 'stilt'"
    assert json.loads(ask("sql", "--json", joined)) == [{"n": 66}]
    assert ask(
        "sql", "--csv", "SELECT seed, intermediate FROM leaderboard WHERE task = 'gad' ORDER BY ALL LIMIT 1"
    ) == ("seed,intermediate\n0,ddi\n")
    assert "score" in ask("sql", "DESCRIBE leaderboard")
    kinds = ask("sql", "--csv", "SELECT typeof(started_at), typeof(teachers) FROM leaderboard LIMIT 1")
    assert kinds.splitlines()[1] == "TIMESTAMP WITH TIME ZONE,VARCHAR[]"
    assert "SCAN" in ask("sql", "EXPLAIN SELECT score FROM leaderboard").upper()


def test_sql_reads_the_query_from_standard_input(ask, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 6 * 7 AS answer"))
    assert ask("sql", "-").split() == ["answer", "42"]


@pytest.mark.parametrize(
    "query",
    [
        "INSTALL httpfs",
        "LOAD parquet",
        "COPY leaderboard TO '{out}'",
        "EXPORT DATABASE '{out}'",
        "ATTACH '{out}' AS other",
        "CREATE TABLE mine AS SELECT 1",
        "DELETE FROM leaderboard",
        "DROP TABLE leaderboard",
        "UPDATE leaderboard SET score = 100",
        "SET enable_external_access = true",
        "PRAGMA enable_profiling",
        "SELECT 1; DROP TABLE leaderboard",
        "SELECT * FROM read_csv('{existing}')",
        "SELECT * FROM '{existing}'",
        "EXPLAIN ANALYZE COPY leaderboard TO '{out}'",
        'SELECT * FROM "table"',
    ],
)
def test_sql_can_neither_write_nor_reach_outside(refused, query, tmp_path, storage):
    existing = tmp_path / "table.csv"
    existing.write_text("a\n1\n")
    out = tmp_path / "out"
    before = sorted(Path(storage).iterdir())
    refused("sql", query.format(out=out, existing=existing))
    assert not out.exists()
    assert sorted(Path(storage).iterdir()) == before


def test_sql_shows_what_duckdb_says(refused):
    assert "scor" in refused("sql", "SELECT scor FROM leaderboard")
    assert "syntax" in refused("sql", "SELEC 1")
    assert "empty" in refused("sql", " ")


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_export_writes_all_rows(ask, tmp_path, storage, suffix):
    file = tmp_path / f"rows{suffix}"
    assert "10 rows" in ask("export", str(file))
    reader = {".csv": pd.read_csv, ".json": pd.read_json, ".parquet": pd.read_parquet}[suffix]
    read = reader(file)
    expected = rows.read(Store(storage).filesystem, storage)
    assert list(read.columns) == list(expected.columns)
    assert read["score"].dropna().to_list() == pytest.approx(expected["score"].dropna().to_list(), abs=1e-12)
    assert read["key"].to_list() == expected["key"].to_list()
    assert pd.to_datetime(read["started_at"], utc=True).to_list() == expected["started_at"].to_list()


def test_export_refuses_other_kinds_of_file(refused):
    assert ".parquet" in refused("export", "rows.xlsx")


def test_rebuild_makes_the_rows_again(ask, tmp_path):
    store = Store(str(tmp_path))
    fill(store)
    assert "10 rows" in ask("rebuild", "--storage", str(tmp_path))
    assert rows.count(store.filesystem, store.root) == 10


@pytest.mark.parametrize(
    "command", [["show"], ["grid"], ["doktra", "--table", "2"], ["sql", "SELECT 1"], ["export", "rows.csv"]]
)
def test_without_a_leaderboard_commands_say_where_they_looked(refused, tmp_path, command):
    error = refused(*command, "--storage", str(tmp_path / "nothing"))
    assert str(tmp_path / "nothing") in error
    assert "orchestrator.stilt_grid" in error


@pytest.mark.parametrize("command", [[], ["show"], ["grid"], ["doktra"], ["sql"], ["export"], ["rebuild"]])
def test_help_has_examples_and_imports_nothing_heavy(command):
    code = (
        "import sys; sys.argv = ['x', *sys.argv[1:], '--help']\n"
        "import orchestrator.leaderboard.__main__ as command\n"
        "try: command.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'pandas', 'pyarrow', 'numpy', 'rich', 'duckdb', 'ray'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout


@pytest.mark.parametrize("output", ["", "--csv"])
def test_a_reader_that_goes_away_is_no_error(output):
    query = "SELECT * FROM range(20000)"  # more than a pipe holds
    shell = f"{sys.executable} -m orchestrator.leaderboard sql {output} '{query}' | head -n 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["range"]
    assert done.stderr == ""
