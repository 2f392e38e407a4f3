"""The options that all sweep commands share, on the command line or in a YAML file. Nothing heavy is imported."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from orchestrator import models
from orchestrator.engine.resources import Shares
from orchestrator.engine.storage import default_location
from trainables import handwritten
from trainables.data import sources, tasks
from trainables.errors import UserError, did_you_mean
from trainables.expression import Stage
from trainables.stages.rules import SHORTEST

_Value = TypeVar("_Value")
LIST = ",..."  # how the help shows options that take several values
#: Hyperparameters that can be set for all tasks at once, with their types.
OVERRIDES: dict[str, type] = {
    "epochs": int,
    "learning_rate": float,
    "batch_size": int,
    "max_length": int,
    "train_limit": int,
}
KEEP_MODELS = ("inputs", "best", "all", "none")


@dataclasses.dataclass(frozen=True)
class Preset:
    """What an option is unless it is given.

    Attributes:
        models: Names for :func:`orchestrator.models.resolve`.
        seeds: Seeds.
        data: Source of the tasks' data.
    """

    models: tuple[str, ...]
    seeds: tuple[int, ...]
    data: str


PRESETS = {
    "mini": Preset(("mini_general", "mini_domain"), (0,), sources.MINIATURE),
    "paper": Preset(("bert_base", "pubmedbert"), (0, 1, 2), "data/blurb"),
}


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a sweep is run, whatever it consists of; checked.

    Attributes:
        storage: Where results go.
        sweep: The sweep's name in the leaderboard.
        shares: Concurrency, threads, GPU fraction.
        keep_models: Whose weights stay in the store.
        dry_run: Only say what would be run.
        report_only: Only show what is there.
    """

    storage: str
    sweep: str
    shares: Shares
    keep_models: str
    dry_run: bool
    report_only: bool


@dataclasses.dataclass(frozen=True)
class SweepOptions(RunOptions):
    """The common options of commands over tasks and models, checked.

    Attributes:
        preset: ``mini`` or ``paper``.
        models: Model names and their expressions.
        tasks: Target tasks.
        seeds: Seeds.
        data: Source of the data: ``mini``, a folder (absolute), or ``hub:...``.
        overrides: Fields of every ``FineTune`` that are the same for all tasks, instead of each task's published ones.
    """

    preset: str
    models: dict[str, Stage]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    data: str
    overrides: dict[str, Any]

    def fine_tuning(self) -> dict[str, Any]:
        """Arguments for every ``FineTune`` of the sweep: its data, and what was set for all tasks."""
        return {"data": self.data, **self.overrides}


def bare_parser(command: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A parser without options; commands put theirs together from the groups below.

    Args:
        command: The module, as ``python -m`` runs it.
        description: What the command does.
        examples: Command lines for the epilog.
    """
    return argparse.ArgumentParser(
        prog=f"python -m {command}",
        description=description,
        epilog="examples:\n" + textwrap.indent(textwrap.dedent(examples).strip(), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def parser(command: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A parser with the common options of commands over tasks and models; a command adds its own to it.

    Args:
        command: The module, as ``python -m`` runs it.
        description: What the command does.
        examples: Command lines for the epilog.
    """
    made = bare_parser(command, description, examples)
    what = made.add_argument_group("what to run")
    add_preset(what)
    what.add_argument(
        "--models", metavar="M,...", help="bert_base, pubmedbert, mini_general, mini_domain, hub ids, or NAME=FOLDER"
    )
    what.add_argument("--tasks", metavar="T,...", help="target tasks (the paper's 11)")
    add_data(what)
    add_overrides(what)
    add_how(made)
    return made


def add_preset(what: argparse._ArgumentGroup) -> None:
    """``--preset`` and ``--config``."""
    what.add_argument(
        "--preset", choices=sorted(PRESETS), default="paper", help="defaults for all that follows (paper)"
    )
    what.add_argument("--config", metavar="FILE", help="YAML file of options; the command line goes before it")


def add_data(what: argparse._ArgumentGroup) -> None:
    """``--seeds`` and ``--data``."""
    what.add_argument("--seeds", metavar="N,...", help="seeds, such as 0,1,2")
    what.add_argument(
        "--data",
        metavar="SOURCE",
        help="folder made by prepare_data (data/blurb), hub:owner/name, mini, or random:SEED:SOURCE",
    )


def add_overrides(what: argparse._ArgumentGroup) -> None:
    """The options of :data:`OVERRIDES`."""
    for name, kind in OVERRIDES.items():
        option = f"--{name.replace('_', '-')}"
        text = "training examples per task at most" if name == "train_limit" else "instead of each task's published one"
        what.add_argument(option, type=kind, metavar="N" if kind is int else "F", help=text)


def add_how(made: argparse.ArgumentParser) -> None:
    """The options of :class:`RunOptions`."""
    how = made.add_argument_group("how to run it")
    how.add_argument("--sweep", metavar="NAME", help="name in the leaderboard (command and preset)")
    how.add_argument("--storage", metavar="WHERE", help="folder or s3://, gs:// URI ($ORCHESTRATOR_STORAGE or ./runs)")
    how.add_argument("--max-concurrent", type=int, metavar="N", help="stages at once (as many as fit)")
    how.add_argument("--gpu-fraction", type=float, metavar="F", help="share of a GPU per stage (estimated for each)")
    how.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads per stage (1)")
    how.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes per stage with micro-batches, each with its own threads and a whole GPU (1)",
    )
    how.add_argument("--checkpoint-seconds", type=float, default=300.0, metavar="S", help="between checkpoints (300)")
    how.add_argument(
        "--keep-models", choices=KEEP_MODELS, default="best", help="whose weights stay in the store (best)"
    )
    how.add_argument("--dry-run", action="store_true", help="say what would be run, and what it would cost")
    how.add_argument("--report-only", action="store_true", help="show what is there; run nothing")


def parse(made: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses a command line, with the options of ``--config`` underneath.

    Raises:
        UserError: For an unreadable file or a key that is no option, with the nearest one.
    """
    first = made.parse_args(arguments)
    if first.config is None:
        return first
    known = {
        action.dest: action
        for action in made._actions
        if action.option_strings and action.dest not in ("help", "config")
    }
    made.set_defaults(**_from_yaml(first.config, known))
    return made.parse_args(arguments)


def resolve(given: argparse.Namespace, command: str, default_tasks: Sequence[str]) -> SweepOptions:
    """Checks the common options and fills in the preset's.

    Raises:
        UserError: Naming the option, the value, the rule and the nearest valid choice.
    """
    preset = PRESETS[given.preset]
    counted(given, "epochs", "train_limit", "batch_size")
    counted(given, "max_length", least=SHORTEST)
    how = resolve_how(given, f"{command}_{given.preset}")
    data = data_source(either(given.data, preset.data))  # before the models, which may take the network to look up
    return SweepOptions(
        **vars(how),
        preset=given.preset,
        models=model_names("models", given.models, preset.models),
        tasks=task_names("tasks", given.tasks, default_tasks),
        seeds=seeds(given.seeds, preset.seeds),
        data=data,
        overrides=overrides(given),
    )


def resolve_how(given: argparse.Namespace, sweep: str) -> RunOptions:
    """Checks the options of :func:`add_how`.

    Args:
        given: The parsed command line.
        sweep: The sweep's name unless one is given.

    Raises:
        UserError: As :func:`resolve`.
    """
    counted(given, "max_concurrent", "threads", "workers")
    if given.gpu_fraction is not None and not 0 < given.gpu_fraction <= 1:
        raise UserError(f"--gpu-fraction={given.gpu_fraction} must be above 0 and at most 1")
    if not given.checkpoint_seconds >= 0:
        raise UserError(f"--checkpoint-seconds={given.checkpoint_seconds} must be at least 0")
    return RunOptions(
        storage=storage(given.storage),
        sweep=_sweep_name(either(given.sweep, sweep)),
        shares=Shares(given.threads, given.gpu_fraction, given.max_concurrent, given.checkpoint_seconds, given.workers),
        keep_models=given.keep_models,
        dry_run=given.dry_run,
        report_only=given.report_only,
    )


def either(given: _Value | None, default: _Value) -> _Value:
    """What was given, else the default. Not ``given or default``: a 0 or an empty text is wrong, not left out."""
    return default if given is None else given


def storage(given: str | None) -> str:
    """Where results go.

    Raises:
        UserError: For an empty name, which would mean the current folder.
    """
    if given is not None and not given.strip():
        raise UserError(f"--storage={given!r} names nothing; give a folder ('.' is this one) or a URI, or leave it out")
    return either(given, default_location())


def counted(given: argparse.Namespace, *names: str, least: int = 1) -> None:
    """Refuses numbers below the least one; None passes.

    Raises:
        UserError: Naming the option and the value.
    """
    for name in names:
        value = getattr(given, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')}={value} must be at least {least}")


def overrides(given: argparse.Namespace) -> dict[str, Any]:
    """What was given of :data:`OVERRIDES`."""
    return {name: getattr(given, name) for name in OVERRIDES if getattr(given, name) is not None}


def data_source(data: str) -> str:
    """A source of data that exists, a folder as an absolute path: workers have a current folder of their own.

    Raises:
        UserError: Where there is no such folder or hub data set.
    """
    seed, inner = sources.unwrapped(data)
    if seed is not None:
        return f"{sources.RANDOM}{seed}:{data_source(inner)}"
    if data == sources.MINIATURE:
        return data
    sources.folder(data)
    return data if data.startswith(sources.HUB) else str(Path(data).expanduser().resolve())


def seeds(given: Any, default: Sequence[int]) -> tuple[int, ...]:
    """Seeds from a comma-separated option, each once.

    Raises:
        UserError: For anything but whole numbers.
    """
    return tuple(dict.fromkeys(map(_seed, listed("seeds", given, [str(seed) for seed in default]))))


def task_names(option: str, given: Any, default: Sequence[str]) -> tuple[str, ...]:
    """Task names from a comma-separated option, each once.

    Raises:
        UserError: For an unknown task, with the nearest one.
    """
    return tuple(tasks.get(name).name for name in listed(option, given, default))


def model_names(option: str, given: Any, default: Sequence[str]) -> dict[str, Stage]:
    """Models from a comma-separated option, by name.

    Raises:
        UserError: For an unknown model, one that is there twice, or two of one name.
    """
    chosen: dict[str, Stage] = {}
    for text in listed(option, given, default):
        name, stage = models.resolve(text)
        if name in chosen:
            raise UserError(f"--{option}: {text!r} is called {name!r}, as another one is; name it with NAME={text}")
        if stage in chosen.values():  # its rows would be the other one's
            raise UserError(f"--{option}: {text!r} is the same model as another one; give each once")
        chosen[name] = stage
    return chosen


def listed(option: str, given: Any, default: Sequence[str]) -> tuple[str, ...]:
    """The items of a comma-separated option (or YAML list), each once and in order.

    Raises:
        UserError: Where nothing is in it.
    """
    if given is None:
        return tuple(default)
    items = given.split(",") if isinstance(given, str) else [str(item) for item in _as_list(given)]
    found = tuple(dict.fromkeys(item.strip() for item in items if item.strip()))
    if not found:
        raise UserError(f"--{option}={given!r} names nothing; give a comma-separated list")
    return found


def run_command(main: Callable[[Sequence[str] | None], int], arguments: Sequence[str] | None = None) -> None:
    """Runs a command's main function and exits: 2 after a user's error, 130 after Ctrl-C."""
    try:
        code = main(arguments)
        sys.stdout.flush()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        code = 2
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped at once; to go on, run the same command again\n")
        code = 130
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:  # storage or network; what is finished is safe
        sys.stderr.write(f"error: {error}\n")
        code = 1
    sys.exit(code)


def _from_yaml(file: str, known: dict[str, argparse.Action]) -> dict[str, Any]:
    path = Path(file)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--config {file!r} cannot be read: {error}") from error
    content = handwritten.from_yaml(text, f"--config {file!r}")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"--config {file!r} must be a mapping of options to values, not a {type(content).__name__}")
    found: dict[str, Any] = {}
    spellings: dict[str, Any] = {}  # `batch-size` and `batch_size` are one option
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name in spellings:
            raise UserError(f"{path}: {key!r} and {spellings[name]!r} are one option; give it once")
        spellings[name] = key
        if name not in known:
            spelled = [option.replace("_", "-") for option in known]
            raise UserError(f"{path}: unknown option {key!r}{did_you_mean(str(key).replace('_', '-'), spelled)}")
        if value is not None:  # `seeds:` with nothing behind it is not given
            found[name] = _checked(path, str(key), value, known[name])
    return found


def _checked(path: Path, key: str, value: Any, action: argparse.Action) -> Any:
    """A YAML value as the command line would have given it."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UserError(f"{path}: {key}={value!r} must be true or false")
        return value
    if action.type in (int, float):
        with contextlib.suppress(ValueError, TypeError):
            value = float(value) if isinstance(value, str) and action.type is float else value  # YAML's 1e-5 is text
        if isinstance(value, bool) or not isinstance(value, int | (float if action.type is float else int)):
            wanted = "a number" if action.type is float else "a whole number"
            raise UserError(f"{path}: {key}={value!r} must be {wanted}")
        return value
    if action.choices is not None and value not in action.choices:
        raise UserError(
            f"{path}: {key}={value!r} is no valid choice{did_you_mean(str(value), map(str, action.choices))}"
        )
    if isinstance(value, list) and str(action.metavar).endswith(LIST):
        return [_text(path, key, item) for item in value]
    return _text(path, key, value)


def _text(path: Path, key: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{path}: {key}={value!r} is a {type(value).__name__}; it must be text")
    return str(value)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"--seeds: {text!r} is no whole number of at least 0; give a list such as 0,1,2")
    return int(text)


def _sweep_name(name: str) -> str:
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
        raise UserError(f"--sweep={name!r} must be made of letters, digits, '-', '_' and '.'")
    return name
