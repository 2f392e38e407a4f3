"""Expressions: equal ones have equal keys, whoever computes them, wherever the data lies."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data import corpora, jsonl, miniature, pretrained, sources, tasks
from trainables.errors import UserError
from trainables.expression import KEY_LENGTH, LOCATED, Stage, from_json
from trainables.stages import FineTune, MaskedLanguageModel, Pretrained, RandomInit

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Leaf(Stage):
    """Something to start from, with a field of every kind."""

    name: str
    count: int = 3
    rate: float = 0.1
    flag: bool = False
    limit: int | None = None
    words: tuple[str, ...] = ()
    sizes: tuple[tuple[float, ...], ...] = ()
    where: str = dataclasses.field(default="here", metadata=LOCATED)


@dataclasses.dataclass(frozen=True)
class Branch(Stage):
    """Something that starts from others."""

    init: Stage
    more: tuple[Stage, ...] = ()
    groups: tuple[tuple[Leaf, ...], ...] = ()
    weight: float | None = None
    other: Leaf | None = None


@dataclasses.dataclass(frozen=True)
class WithoutWeights(Stage):
    makes_model: ClassVar[bool] = False


numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=5)
leaves = st.builds(
    Leaf,
    name=texts,
    count=st.integers(-3, 3),
    rate=st.one_of(st.sampled_from([0.1, 0.0, -0.0, 1, 1.0]), numbers),
    flag=st.booleans(),
    limit=st.none() | st.integers(-1, 1),
    words=st.lists(texts, max_size=2).map(tuple),
    sizes=st.lists(st.lists(st.sampled_from([0, 1, 1.0, 2.5]), max_size=2).map(tuple), max_size=2).map(tuple),
)
expressions = st.recursive(
    leaves,
    lambda inner: st.builds(
        Branch,
        init=inner,
        more=st.lists(inner, max_size=2).map(tuple),
        groups=st.lists(st.lists(leaves, max_size=2).map(tuple), max_size=2).map(tuple),
        weight=st.none() | st.sampled_from([0, 1, 0.5]),
        other=st.none() | leaves,
    ),
    max_leaves=5,
)


# --- keys ----------------------------------------------------------------------------------------------------


@given(expressions, expressions)
def test_equal_expressions_and_no_others_have_equal_keys(one: Stage, two: Stage) -> None:
    assert (one == two) == (one.key == two.key)


@given(expressions)
def test_a_copy_has_the_key_of_its_original(stage: Stage) -> None:
    same = copy.deepcopy(dataclasses.replace(stage))
    assert same is not stage
    assert same == stage
    assert same.key == stage.key
    assert len(stage.key) == KEY_LENGTH
    assert set(stage.key) <= set("0123456789abcdef")


@given(expressions)
def test_json_brings_the_expression_back(stage: Stage) -> None:
    again = from_json(json.loads(json.dumps(stage.to_json())))
    assert again == stage
    assert again.key == stage.key
    assert again.to_json() == stage.to_json()
    assert [parent.key for parent in again.inputs] == [parent.key for parent in stage.inputs]


@given(expressions)
def test_pickling_brings_the_expression_back(stage: Stage) -> None:
    key = stage.key
    again = pickle.loads(pickle.dumps(stage))
    assert again == stage
    assert again.key == key


@given(expressions)
def test_walking_meets_every_stage_once_and_after_its_inputs(stage: Stage) -> None:
    seen: list[str] = []
    for each in stage.walk():
        assert each.key not in seen
        assert all(parent.key in seen for parent in each.inputs)
        seen.append(each.key)
    assert seen[-1] == stage.key


@given(leaves, st.data())
def test_any_changed_hyperparameter_changes_the_key(leaf: Leaf, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([field.name for field in dataclasses.fields(Leaf) if field.name != "where"]))
    other = data.draw(leaves.filter(lambda one: getattr(one, name) != getattr(leaf, name)))
    changed = dataclasses.replace(leaf, **{name: getattr(other, name)})
    assert changed.key != leaf.key
    assert Branch(changed).key != Branch(leaf).key
    assert Branch(Leaf("x"), more=(changed,)).key != Branch(Leaf("x"), more=(leaf,)).key


@given(leaves, texts)
def test_where_something_lies_does_not_matter(leaf: Leaf, where: str) -> None:
    moved = dataclasses.replace(leaf, where=where)
    assert moved.key == leaf.key
    assert Branch(moved).key == Branch(leaf).key
    assert from_json(moved.to_json()) == moved


def test_the_role_of_an_input_matters() -> None:
    one, two = Leaf("one"), Leaf("two")
    different = [
        Branch(one, more=(two,)),
        Branch(two, more=(one,)),
        Branch(one, other=two),
        Branch(one, groups=((two,),)),
        Branch(one, more=(two, two)),
        Branch(one, groups=((two,), (two,))),
        Branch(one, groups=((two, two),)),
        Branch(one, groups=((), (two, two))),
        Branch(Branch(one), more=(two,)),
    ]
    assert len({stage.key for stage in different}) == len(different)


def test_a_default_that_is_named_changes_nothing() -> None:
    assert Leaf("a", count=3, rate=0.1, flag=False, limit=None, words=()).key == Leaf("a").key
    assert "count" not in Leaf("a").canonical()["fields"]


def test_the_version_and_the_type_are_part_of_the_key() -> None:
    @dataclasses.dataclass(frozen=True)
    class Newer(Stage):
        name: str

    before = Newer("a").key
    Newer.version = 2
    assert Newer("a").key != before
    assert Newer("a").key != Leaf("a").key


def test_whole_numbers_given_for_floats_are_floats() -> None:
    assert Leaf("a", rate=1) == Leaf("a", rate=1.0)
    assert Leaf("a", rate=1).key == Leaf("a", rate=1.0).key
    assert isinstance(Leaf("a", rate=1).rate, float)
    assert Leaf("a", sizes=[[1, 2]]) == Leaf("a", sizes=((1.0, 2.0),))
    assert Branch(Leaf("a"), weight=1).key == Branch(Leaf("a"), weight=1.0).key
    assert Leaf("a", rate=-0.0).key == Leaf("a", rate=0.0).key


# A change of the canonical form makes every stage of every store unknown. If one of these fails, that happened.
GOLDEN = {
    "bef36f600b8e3bbe1e0d1c5e5f8e4d00": Leaf("a"),
    "580feb3f3419a77f1298c617bff4a4e2": Leaf("µ", 4, 1e-5, True, 0, ("x", ""), ((0.5, 2), ())),
    "3e38b979374f94eaf07a4776a1a574d1": Branch(
        Leaf("a"), (Leaf("b"), Leaf("c", rate=1)), ((Leaf("d"),),), 0.25, Leaf("e")
    ),
    "0080330cb344ba39f5a118990e7b6a0f": Pretrained("owner/name", "0123456789abcdef0123456789abcdef01234567"),
}


@pytest.mark.parametrize(("key", "stage"), GOLDEN.items())
def test_keys_stay_what_they_were(key: str, stage: Stage) -> None:
    assert stage.key == key


def test_keys_do_not_depend_on_the_process() -> None:
    code = (
        "from tests.trainables.test_expression import GOLDEN, mini_grid\n"
        "print(*[stage.key for stage in [*GOLDEN.values(), *mini_grid()]])"
    )
    found = set()
    for seed in ("0", "1", "12345"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C"}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        found.add(done.stdout.strip())
    assert found == {" ".join(stage.key for stage in [*GOLDEN.values(), *mini_grid()])}


def mini_grid() -> list[Stage]:
    random = RandomInit("mini:domain", vocabulary_size=300, hidden_size=16, layers=1, heads=2, intermediate_size=32)
    model = MaskedLanguageModel("mini:domain", random)
    return [model, *(FineTune(task, model, "mini") for task in tasks.TASKS)]


# --- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(UserError, match=r"Leaf.rate=.* must be a finite number"):
        Leaf("a", rate=value)
    with pytest.raises(UserError, match="finite"):
        Leaf("a", sizes=((1.0, value),))


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"name": 1}, "str"),
        ({"name": None}, "str"),
        ({"count": 1.5}, "int"),
        ({"count": True}, "int"),
        ({"count": "3"}, "int"),
        ({"rate": "0.1"}, "float"),
        ({"rate": True}, "float"),
        ({"flag": 1}, "bool"),
        ({"limit": 0.5}, "int | None"),
        ({"words": "ab"}, "tuple"),
        ({"words": (1,)}, "str"),
        ({"words": {"a"}}, "tuple"),
    ],
)
def test_values_of_another_type_are_refused(fields: dict[str, Any], wanted: str) -> None:
    (name,) = fields
    with pytest.raises(UserError, match=rf"Leaf\.{name}=.* must be .*{wanted.replace('|', '.')}"):
        Leaf(**{"name": "a", **fields})


def test_an_input_that_is_no_stage_is_refused() -> None:
    with pytest.raises(UserError, match=r"Branch.init='bert' is a str; it must be Stage"):
        Branch("bert")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="must be"):
        Branch(Leaf("a"), other=Branch(Leaf("b")))  # type: ignore[arg-type]


def test_unknown_stages_and_fields_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown stage 'FineTun'; did you mean 'FineTune'\?"):
        from_json({"stage": "FineTun"})
    with pytest.raises(UserError, match=r"FineTune has no field 'epoch'; did you mean 'epochs'\?"):
        from_json({"stage": "FineTune", "task": "ddi", "epoch": 3})
    with pytest.raises(UserError, match=r"MaskedLanguageModel lacks init"):
        from_json({"stage": "MaskedLanguageModel", "corpus": "mini:general"})
    with pytest.raises(UserError, match="unknown stage ''"):
        from_json({})
    with pytest.raises(UserError, match="cannot be imported here"):
        from_json({"stage": "no_such_module:Stage"})
    with pytest.raises(UserError, match="cannot be imported here"):
        from_json({"stage": ":Stage"})
    with pytest.raises(UserError, match="unknown stage"):
        from_json({"stage": "tests.noop:Slep"})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda start: FineTune("ddi", start, "mini", epochs=0), r"FineTune.epochs=0 must be at least 1"),
        (lambda start: FineTune("ddi", start, "mini", train_limit=0), r"train_limit=0 must be at least 1"),
        (lambda start: FineTune("ddi", start, "mini", max_length=7), r"max_length=7 must be at least 8"),
        (lambda start: FineTune("ddi", start, "mini", learning_rate=0), r"learning_rate=0.0 must be above 0"),
        (lambda start: FineTune("ddi", start, "mini", warmup_ratio=1.5), r"warmup_ratio=1.5 must lie between"),
        (lambda start: FineTune("dddi", start, "mini"), r"unknown task 'dddi'; did you mean 'ddi'\?"),
        (lambda start: FineTune("ddi", WithoutWeights(), "mini"), "WithoutWeights has no weights to start from"),
        (lambda start: MaskedLanguageModel("mini:general", start, mask_rate=0), r"mask_rate=0.0 must be above 0"),
        (lambda start: MaskedLanguageModel("mini:general", start, mask_rate=2), r"mask_rate=2.0 must lie between"),
        (lambda start: RandomInit("mini:general", heads=5), r"heads=5 must divide hidden_size=768"),
        (lambda start: RandomInit("mini:general", layers=0), r"layers=0 must be at least 1"),
    ],
)
def test_impossible_hyperparameters_are_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(RandomInit("mini:general"))


def test_published_settings_make_no_difference_whether_named_or_not() -> None:
    start = RandomInit("mini:general")
    published = dataclasses.asdict(miniature.settings(tasks.get("ddi")))
    assert FineTune("ddi", start, "mini", **published).key == FineTune("ddi", start, "mini").key
    assert FineTune("ddi", start, "mini", epochs=published["epochs"] + 1).key != FineTune("ddi", start, "mini").key


# --- data and weights ----------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The miniature GAD as files."""
    task = tasks.get("gad")
    folder = tmp_path / "data"
    splits = miniature.generate(task)
    for file in ("train", "dev", "test"):
        (folder / task.folder).mkdir(parents=True, exist_ok=True)
        jsonl.write(folder / task.folder / f"{file}.json", task, splits[file])
    return folder


def test_moved_data_keeps_its_keys_and_changed_data_does_not(data: Path, tmp_path: Path) -> None:
    start = RandomInit("mini:general")
    here = FineTune("gad", start, str(data)).key
    shutil.copytree(data, tmp_path / "elsewhere")
    assert FineTune("gad", start, str(tmp_path / "elsewhere")).key == here
    for number, file in enumerate(sorted(path.name for path in jsonl.split_files(data, tasks.get("gad")))):
        changed = tmp_path / f"changed{number}"
        shutil.copytree(data, changed)
        (path,) = changed.rglob(file)
        path.write_text(path.read_text().replace("e", "x", 1))
        assert FineTune("gad", start, str(changed)).key != here, f"{file} changed"


def test_splits_that_swap_their_content_change_the_key(data: Path, tmp_path: Path) -> None:
    swapped = tmp_path / "swapped"
    shutil.copytree(data, swapped)
    one, two = jsonl.split_files(swapped, tasks.get("gad"))[:2]
    text = one.read_text()
    one.write_text(two.read_text())
    two.write_text(text)
    assert sources.fingerprint(str(swapped), "gad") != sources.fingerprint(str(data), "gad")


def test_missing_data_is_refused_when_the_key_is_wanted(tmp_path: Path) -> None:
    stage = FineTune("gad", RandomInit("mini:general"), str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="nowhere' does not exist"):
        _ = stage.key


def test_a_moved_corpus_keeps_its_keys_and_a_changed_one_does_not(tmp_path: Path) -> None:
    start = RandomInit("mini:general")
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("some text\n")
    two.write_text("some text\n")
    assert MaskedLanguageModel(str(one), start).key == MaskedLanguageModel(str(two), start).key
    two.write_text("other text\n")
    assert MaskedLanguageModel(str(one), start).key != MaskedLanguageModel(str(two), start).key
    assert corpora.fingerprint(str(one)) != corpora.fingerprint("mini:general")


def safetensors(values: bytes) -> bytes:
    header = json.dumps({"a": {"dtype": "U8", "shape": [len(values)], "data_offsets": [0, len(values)]}}).encode()
    return len(header).to_bytes(8, "little") + header + values


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "vocab.txt").write_text("[PAD]\n")
    (folder / "model.safetensors").write_bytes(safetensors(b"weights"))
    (folder / "README.md").write_text("words about it")
    return folder


def test_a_model_folder_is_known_by_its_content(model: Path, tmp_path: Path) -> None:
    key = Pretrained(str(model)).key
    moved = shutil.copytree(model, tmp_path / "moved")
    (moved / "README.md").write_text("other words")
    assert Pretrained(str(moved)).key == key
    assert FineTune("ddi", Pretrained(str(moved)), "mini").key == FineTune("ddi", Pretrained(str(model)), "mini").key
    contents = {
        "config.json": b'{"model_type": "bert"} ',
        "vocab.txt": b"[PAD]",
        "model.safetensors": safetensors(b"WEIGHTS"),
    }
    for number, (file, content) in enumerate(contents.items()):
        changed = shutil.copytree(model, tmp_path / f"changed{number}")
        (changed / file).write_bytes(content)
        assert Pretrained(str(changed)).key != key, f"{file} changed"
    renamed = shutil.copytree(model, tmp_path / "renamed")
    (renamed / "vocab.txt").rename(renamed / "tokenizer.json")
    assert Pretrained(str(renamed)).key != key


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("config.json", "has no config.json"),
        ("model.safetensors", "has no weights"),
        ("vocab.txt", "has no tokenizer"),
    ],
)
def test_a_model_folder_that_lacks_something_is_refused(model: Path, file: str, problem: str) -> None:
    (model / file).unlink()
    with pytest.raises(UserError, match=problem):
        pretrained.fingerprint(str(model), None)
    with pytest.raises(UserError, match=problem):
        pretrained.local_folder(str(model), None)


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("config.json", b"{", "config.json is no valid JSON"),
        ("config.json", b"[]", r"config.json must hold an object, not \[\]"),
        ("config.json", b"{}", "config.json has no model_type; add the architecture's$"),
        ("model.safetensors", safetensors(b"weights")[:-1], "its header says"),
        ("model.safetensors", b"torn", "no whole safetensors file"),
    ],
)
def test_a_model_folder_with_a_damaged_file_is_refused(model: Path, file: str, content: bytes, problem: str) -> None:
    (model / file).write_bytes(content)
    with pytest.raises(UserError, match=problem):
        pretrained.fingerprint(str(model), None)


@pytest.mark.parametrize("vocabulary", ["tokenizer.json", "vocab.json", "tokenizer.model", "spiece.model"])
def test_the_vocabulary_of_any_architecture_will_do(model: Path, vocabulary: str) -> None:
    (model / "vocab.txt").rename(model / vocabulary)
    assert pretrained.local_folder(str(model), None) == model


def test_a_missing_model_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; give a folder in save_pretrained layout"):
        _ = Pretrained(str(tmp_path / "nowhere")).key


def test_a_hub_commit_needs_no_network() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert Pretrained("owner/name", commit).fingerprints() == {"weights": f"owner/name@{commit}"}
    assert Pretrained("owner/name", commit).key != Pretrained("owner/other", commit).key


@pytest.mark.parametrize(
    ("name", "folder"),
    [("./x", True), ("../x", True), ("/x/y", True), ("~/x", True), ("a/b/c", True), ("a/b", False), ("bert", False)],
)
def test_folders_are_told_from_hub_ids(name: str, folder: bool) -> None:
    assert pretrained.is_folder(name) == folder
