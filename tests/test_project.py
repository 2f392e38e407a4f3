"""The project's own rules, as code: which layer may import which, what planning loads, which versions are pinned."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("trainables", "search_spaces", "orchestrator")
COMMANDS = (
    "orchestrator.stilt_grid",
    "orchestrator.doktra",
    "orchestrator.multi_teacher",
    "orchestrator.transfer_data",
    "orchestrator.vekd",
    "orchestrator.run",
    "orchestrator.prepare_data",
    "orchestrator.leaderboard",
)
HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "pandas",
    "pyarrow",
    "numpy",
    "ray",
    "scipy",
    "sklearn",
    "matplotlib",
    "optuna",
    "plotly",
)
LONGEST_FILE = 500


class Import(NamedTuple):
    """One import: the module named, whether it runs when the file is imported, and where it stands."""

    module: str
    at_import: bool
    place: str

    def within(self, *packages: str) -> bool:
        return any(self.module == package or self.module.startswith(f"{package}.") for package in packages)


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@functools.cache
def imports_of(path: Path) -> tuple[Import, ...]:
    relative = path.relative_to(ROOT)
    package = list(relative.parent.parts)
    return tuple(_imports(ast.parse(path.read_text()), package, str(relative), at_import=True))


def _imports(node: ast.AST, package: list[str], file: str, at_import: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, at_import, f"{file}:{child.lineno}")
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) - child.level + 1] if child.level else []
            module = ".".join([*base, *([child.module] if child.module else [])])
            # `from trainables import training` imports the submodule as much as `from trainables.training import x`.
            for alias in child.names:
                yield Import(f"{module}.{alias.name}", at_import, f"{file}:{child.lineno}")
        elif not _is_type_checking(child):
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, package, file, at_import and not later)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def project_imports(*folders: str) -> list[Import]:
    return [found for path in python_files(*folders) for found in imports_of(path)]


def test_imports_are_seen_wherever_they_stand(tmp_path, monkeypatch):
    """The rules below rest on this reader."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "trainables").mkdir()
    file = tmp_path / "trainables" / "example.py"
    file.write_text(
        "import ray.tune as t\n"
        "from . import stages\n"
        "class A:\n    from orchestrator import engine\n"
        "def f():\n    import torch\n"
        "if TYPE_CHECKING:\n    import pandas\n"
    )

    assert [(found.module, found.at_import) for found in imports_of(file)] == [
        ("ray.tune", True),
        ("trainables.stages", True),
        ("orchestrator.engine", True),
        ("torch", False),
    ]


def test_trainables_import_nothing_above_them():
    upward = [found for found in project_imports("trainables") if found.within("orchestrator", "search_spaces")]

    assert upward == []


def test_search_spaces_do_not_import_the_orchestrator():
    assert [found for found in project_imports("search_spaces") if found.within("orchestrator")] == []


def test_ray_is_imported_in_two_files_of_trainables():
    places = [found.place for found in project_imports("trainables", "search_spaces") if found.within("ray")]

    assert {place.rpartition(":")[0] for place in places} <= {"trainables/trainable.py", "trainables/team.py"}


def test_orchestrator_and_search_spaces_never_import_torch():
    torch = [
        found for found in project_imports("orchestrator", "search_spaces") if found.within("torch", "transformers")
    ]

    assert torch == []


def test_orchestrator_loads_training_code_only_inside_functions():
    early = [
        found
        for found in project_imports("orchestrator", "search_spaces")
        if found.at_import and found.within("trainables.training")
    ]

    assert early == []


@pytest.mark.parametrize("folder", [*PACKAGES, "tests", "benchmarks"])
def test_no_file_is_too_long(folder):
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in python_files(folder)}

    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after ``code``."""
    report = f"atexit.register(lambda: print('loaded', *sorted(set(sys.modules) & set({HEAVY!r}))))"
    result = subprocess.run(
        [sys.executable, "-c", f"import atexit, sys\n{report}\n{code}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split()[1:])


def test_loaded_packages_are_seen():
    assert "numpy" in loaded_by("import numpy")


def test_naming_stages_loads_nothing_heavy():
    assert loaded_by("import trainables.stages") == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_works_and_loads_nothing_heavy(command):
    code = f"import runpy; sys.argv = [{command!r}, '--help']; runpy.run_module({command!r}, run_name='__main__')"

    assert loaded_by(code) == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_how_to_call(command):
    result = subprocess.run(
        [sys.executable, "-m", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    assert "usage" in result.stdout.lower()
    assert command in result.stdout


def pinned_versions() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [re.fullmatch(r"(\S+)==(\S+)", line) for line in lines if line and not line.startswith("#")]
    assert all(pins), "every line of constraints.txt pins one version"
    return {canonicalize_name(pin[1]): Version(pin[2]) for pin in pins if pin}


def installed_closure(name: str, extras: frozenset[str]) -> dict[str, Version]:
    """Versions of the packages that ``name[extras]`` needs here, those that are not installed left out."""
    found: dict[str, Version] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(name, extra) for extra in ("", *extras)]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        package, extra = current
        try:
            distribution = importlib.metadata.distribution(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[canonicalize_name(package)] = Version(distribution.version)
        for line in distribution.requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(requirement.name, wanted) for wanted in ("", *requirement.extras)]
    return found


def test_every_installed_dependency_is_pinned():
    pins = pinned_versions()
    closure = installed_closure("stilt-sweeps", frozenset({"dev", "cluster"}))
    del closure["stilt-sweeps"]

    assert {"torch", "ray", "pytest"} <= set(closure)
    # The same pin of torch stands for its CPU and CUDA builds, which differ in the local part (+cpu).
    different = {
        name: (str(version), str(pins.get(name)))
        for name, version in closure.items()
        if name not in pins or version.public != pins[name].public
    }
    assert different == {}, "installed, pinned"
