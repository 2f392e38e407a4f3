"""The miniature benchmark: the same everywhere, well-formed, and with the transfer structure that it claims."""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from trainables.data import miniature, tasks
from trainables.data.examples import SPLITS, Example, TokenExample
from trainables.data.miniature import words
from trainables.data.miniature.recipes import RECIPES
from trainables.errors import UserError

ALL = list(tasks.TASKS.values())
#: Beginnings of fingerprints: with another one, every stored result on that task or corpus would be made again.
PINNED = {
    "bc5chem": "21378d474c73",
    "bc5disease": "28a7ac295eac",
    "ncbi_disease": "935ca9d15159",
    "bc2gm": "6f4740b3e167",
    "jnlpba": "110a693d3fea",
    "ebm_pico": "fe6093d1db68",
    "chemprot": "ebc37d1ec012",
    "ddi": "39cc5c37f0c2",
    "gad": "fe23c18c2ee2",
    "pubmedqa": "2c665d2b4267",
    "bioasq": "85dc75f72796",
    "hoc": "bbace3a41b8d",
    "emotion": "cebd6d2ba783",
    "tweet_emotion": "07ef7f1dd610",
    "tweet_sentiment": "98736da5d082",
    "mind": "0b67806676d7",
    "boolq": "3dfecf1a3081",
    "pubmedqa_yesno": "af9516de8940",
    "euadr": "398e5a816e82",
    "tacred": "da4d6a3d8feb",
    "nbme": "654e75e170b2",
    "general": "b95365892802",
    "domain": "b3d6531724fa",
    "terms": "a3562a4a4d6b",
}
_SEED_PRINTER = """
from trainables.data import miniature, tasks
print([miniature.fingerprint(task) for task in tasks.TASKS.values()])
print([miniature.corpus_fingerprint(name) for name in miniature.CORPORA])
"""


_splits = functools.cache(miniature.generate)


def _words(example: Example) -> tuple[str, ...]:
    if isinstance(example, TokenExample):
        return example.tokens
    return tuple(f"{example.text} {example.pair or ''}".split())


def _labels(task: tasks.Task, example: Example) -> Iterator[int]:
    if isinstance(example, TokenExample):
        yield from example.tags
    elif isinstance(example.label, tuple):
        yield from (index for index, given in enumerate(example.label) if given)
    else:
        yield example.label


def _own_words(task: tasks.Task) -> set[str]:
    return set(itertools.chain.from_iterable(words.classes()[name] for name in RECIPES[task.name].classes))


def _domain_words(task: tasks.Task, split: str) -> set[str]:
    every = set(itertools.chain.from_iterable(words.lexicon().values()))
    return every & set(itertools.chain.from_iterable(_words(example) for example in _splits(task)[split]))


def test_processes_agree_whatever_the_hash_seed() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _SEED_PRINTER],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(outputs) == 1
    assert len(set(outputs.pop().split("'")[1::2])) == len(ALL) + len(miniature.CORPORA)


@pytest.mark.parametrize("name", PINNED)
def test_what_results_are_stored_for_stays_as_it_is(name: str) -> None:
    corpus = name in miniature.CORPORA
    found = miniature.corpus_fingerprint(name) if corpus else miniature.fingerprint(tasks.get(name))
    assert found.startswith(PINNED[name])


def test_planning_with_it_imports_nothing_heavy() -> None:
    program = "import sys, trainables.data.miniature; print({'torch', 'numpy', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.name)
class TestEveryTask:
    def test_sizes(self, task: tasks.Task) -> None:
        recipe = RECIPES[task.name]
        sizes = {split: len(examples) for split, examples in _splits(task).items()}
        assert sizes == {"train": recipe.train, "dev": recipe.dev, "test": recipe.test}

    def test_every_label_comes_in_every_split(self, task: tasks.Task) -> None:
        for split in SPLITS:
            found = {label for example in _splits(task)[split] for label in _labels(task, example)}
            assert found == set(range(len(task.labels))), split

    def test_labels_have_the_form_of_the_kind(self, task: tasks.Task) -> None:
        for example in itertools.chain.from_iterable(_splits(task).values()):
            if task.on_tokens:
                assert isinstance(example, TokenExample)
                assert len(example.tags) == len(example.tokens)
            else:
                assert not isinstance(example, TokenExample)
                assert isinstance(example.label, tuple) == task.multi_label
                assert (example.pair is not None) == task.pair
                if isinstance(example.label, tuple):
                    assert len(example.label) == len(task.labels)

    def test_mentions_are_well_formed(self, task: tasks.Task) -> None:
        if "I" not in task.labels:
            return
        inside = task.labels.index("I")
        outside = task.labels.index("O")
        for example in itertools.chain.from_iterable(_splits(task).values()):
            assert isinstance(example, TokenExample)
            for before, tag in itertools.pairwise((outside, *example.tags)):
                assert not (tag == inside and before == outside)

    def test_no_text_comes_twice(self, task: tasks.Task) -> None:
        texts = [_words(example) for split in SPLITS for example in _splits(task)[split]]
        assert len(set(texts)) == len(texts)

    def test_ids_are_unique_within_a_split(self, task: tasks.Task) -> None:
        for examples in _splits(task).values():
            assert len({example.id for example in examples}) == len(examples)

    def test_only_words_of_the_tasks_classes_come(self, task: tasks.Task) -> None:
        for split in SPLITS:
            assert _domain_words(task, split) <= _own_words(task)

    def test_test_needs_words_that_training_lacks(self, task: tasks.Task) -> None:
        train, test = (
            _own_words(task) & set(itertools.chain.from_iterable(map(_words, _splits(task)[split])))
            for split in ("train", "test")
        )
        recipe = RECIPES[task.name]
        assert len(test - train) / len(test) == pytest.approx(1 - recipe.coverage / recipe.reach, abs=0.1)

    def test_settings_are_small(self, task: tasks.Task) -> None:
        settings = miniature.settings(task)
        assert settings.epochs * RECIPES[task.name].train <= 8_000
        assert settings.max_length <= 64


def test_the_evidence_decides_the_label() -> None:
    task = tasks.get("chemprot")
    of_word = {
        word: task.labels.index(label)
        for label, classes in RECIPES["chemprot"].evidence.items()
        for name in classes
        for word in words.lexicon()[name]
    }
    for example in _splits(task)["test"]:
        assert {of_word[word] for word in _words(example) if word in of_word} == set(_labels(task, example))


def test_no_word_has_two_classes() -> None:
    every = list(itertools.chain.from_iterable(words.classes().values()))
    assert len(set(every)) == len(every)


def test_planted_pairs_teach_words_that_the_target_lacks() -> None:
    for intermediate, target in miniature.PLANTED:
        first, second = tasks.get(intermediate), tasks.get(target)
        missing = _domain_words(second, "test") - _domain_words(second, "train")
        assert _domain_words(first, "train") & missing, (intermediate, target)
        assert _domain_words(first, "train") & _domain_words(second, "train"), (intermediate, target)


def test_experts_know_all_words_of_their_classes_and_no_other_expert_does() -> None:
    for name, experts in miniature.EXPERTS.items():
        recipe, task = RECIPES[name], tasks.get(name)
        for expert, labels in experts.items():
            taught = _domain_words(tasks.get(expert), "train")
            for label in task.labels:
                of_label = {word for group in recipe.evidence[label] for word in words.lexicon()[group]}
                wanted = _domain_words(task, "test") & of_label
                if label in labels:
                    assert wanted <= taught, (name, expert, label)
                elif any(label in others for others in experts.values()):
                    assert not wanted & taught, (name, expert, label)


def test_unrelated_pairs_share_no_domain_word() -> None:
    for intermediate, target in miniature.UNRELATED:
        first, second = tasks.get(intermediate), tasks.get(target)
        assert not _domain_words(first, "train") & _domain_words(second, "test"), (intermediate, target)


def test_pairs_are_over_the_papers_tasks_and_in_one_group() -> None:
    assert not set(miniature.PLANTED) & set(miniature.UNRELATED)
    for pair in (*miniature.PLANTED, *miniature.UNRELATED):
        assert pair[0] != pair[1]
        assert set(pair) <= set(tasks.STILT_TASKS)
    assert {("chemprot", "pubmedqa"), ("ddi", "bioasq"), ("bc5disease", "ncbi_disease")} <= set(miniature.PLANTED)
    assert {("bc2gm", "chemprot"), ("gad", "jnlpba")} <= set(miniature.UNRELATED)
    assert ("bc5chem", "bc2gm") not in {*miniature.PLANTED, *miniature.UNRELATED}


def test_a_task_without_a_label_is_the_other_task_without_its_examples() -> None:
    whole, part = tasks.get("pubmedqa"), tasks.get("pubmedqa_yesno")
    for split in SPLITS:
        kept = [example for example in _splits(whole)[split] if whole.labels[example.label] != "maybe"]  # type: ignore[union-attr,index]
        assert [(example.id, _words(example)) for example in _splits(part)[split]] == [
            (example.id, _words(example)) for example in kept
        ]


def test_the_question_says_which_words_are_marked() -> None:
    classes = words.lexicon()
    wanted = {"drug or dose": "chemical", "illness or diagnosis": "disease"}
    for example in itertools.chain.from_iterable(_splits(tasks.get("nbme")).values()):
        assert isinstance(example, TokenExample)
        marked = classes[wanted[str(example.question)]]
        assert [word in marked for word in example.tokens] == [bool(tag) for tag in example.tags]


@pytest.mark.parametrize("name", ["boolq", "tacred"])
def test_tasks_about_general_text_have_no_domain_word(name: str) -> None:
    general = set(" ".join(miniature.corpus("general")).split()) | {"?", "@PERSON$", "@CITY$"}
    for split in SPLITS:
        assert not _domain_words(tasks.get(name), split)
    train = set(itertools.chain.from_iterable(map(_words, _splits(tasks.get(name))["train"])))
    assert len(train - general) <= 0.02 * len(train)


def test_only_the_domain_corpus_has_domain_words() -> None:
    every = set(itertools.chain.from_iterable(words.lexicon().values()))
    general = set(" ".join(miniature.corpus("general")).split())
    domain = set(" ".join(miniature.corpus("domain")).split())
    assert not general & every
    assert every <= domain


def test_the_company_of_terms_tells_their_class_and_is_of_general_words() -> None:
    of_word = {word: name for name, group in words.lexicon().items() for word in group}
    general = set(" ".join(miniature.corpus("general")).split())
    company: dict[str, set[str]] = {}
    seen = set()
    for text in miniature.corpus("terms"):
        for sentence in text.split(" , "):
            parts = sentence.split()
            assert set(parts) - set(of_word) <= general
            found = {of_word[word] for word in parts if word in of_word}
            if found:
                (name,) = found
                seen.update(set(parts) & set(of_word))
                cues = set(parts) - set(of_word) - {"was", "the", "and", "with", "of", "had", "in"}
                company.setdefault(name, set()).update(cues)
    assert seen == set(of_word)
    assert all(len(cues) == 2 for cues in company.values())
    every = [cue for cues in company.values() for cue in cues]
    assert len(set(every)) == len(every) == 2 * len(words.lexicon())


def test_general_words_of_the_tasks_come_in_both_corpora() -> None:
    used = set(itertools.chain.from_iterable(_words(example) for task in ALL for example in _splits(task)["train"]))
    used &= set(itertools.chain.from_iterable(words.GENERAL.values()))
    for name in miniature.CORPORA:
        assert used <= set(" ".join(miniature.corpus(name)).split()), name


def test_an_unknown_corpus_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UserError, match="did you mean 'domain'"):
        miniature.corpus("domian")
