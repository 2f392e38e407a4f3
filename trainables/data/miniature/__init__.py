"""The miniature benchmark: every task of the real one, generated from a seed, with a planted transfer structure.

The language (:mod:`~trainables.data.miniature.words`) has a few hundred invented domain words in latent classes:
diseases and conditions that only sound like diseases, verbs of raising and of blocking, and so on. A word's form does
not tell its class. Every label of every task follows from the classes of the domain words in the text, and from
nothing else (:mod:`~trainables.data.miniature.recipes` lists which).

The planted structure:

* A task's training split uses only a window of each class's words; dev and test use all of them, or a wider window. So
  a baseline must guess about the words outside of its window, and can do better only if it learned about them before.
  (Folds of a task mix its splits, so all words are trained on and every model comes near to a perfect score.)
* Tasks share classes or have none in common. Disease recognition twice (``bc5disease``, ``ncbi_disease``), gene
  recognition twice (``bc2gm``, ``jnlpba``), chemicals in ``bc5chem`` and as interventions in ``ebm_pico``, and the
  verbs in the relation tasks ``chemprot``, ``ddi`` and ``i2b2``, in the answers of ``pubmedqa`` and ``bioasq``, and in
  the sentiments of ``fpb`` and ``fts``; ``gad`` shares its classes with ``i2b2`` only, ``hoc`` with no task. The
  windows of tasks that share overlap, because what an intermediate task taught is of use only if the target's head
  can learn, on words that both know, which label it stands for.
* :data:`PLANTED` are the pairs that share classes, from an intermediate at least as large as the target.
  :data:`UNRELATED` are those that share neither classes nor the kind of answer. The others lie between: they share
  the kind (two entity types, say), or classes that the intermediate is too small to teach.

Planted for distillation: in :data:`MISLABELLED` tasks (fpb and fts) the labels of three in ten training
examples are wrong, while those of dev and test are right. The domain model knows many of the words from its corpus and
is misled less; what it passes on to a student is better than the labels are. Trained for longer, it learns the wrong
labels by heart and becomes overconfident, which is what a confidence penalty is against. The other tasks have true
labels, and a student that is trained for longer gains on them as much as from a teacher. (Folds mix the splits: those
of these tasks have wrong labels in dev and test, too, and the highest score on them is far from perfect.)

Planted for several teachers: the classes of the tasks in :data:`EXPERTS` come in pairs whose words have the same
endings, so that a model must know the words to tell them apart, and half of the training labels are wrong, as those of
EMOTION are that were taken from hashtags. Which pair a model knows depends on the task that it was fine-tuned on
before: after ``bc5disease`` it is good at two classes of ``emotion``, after ``bc2gm`` and ``i2b2`` at two others each,
and believes wrong labels about the rest. Whoever follows the expert of each class is misled less than any of them.

Planted for transfer data: ``boolq`` and ``tacred`` are about general text, with names of people and towns where others
have domain words. The names are made of the same syllables, so a general model spells both with the same pieces, and a
teacher's outputs on general text say something of what it would say of domain words. In half of the passages of
``boolq`` names are all that there is to say, while in all of its text they are rare: of random text made from it, a
teacher hardly says anything. ``pubmedqa_yesno`` (PubMedQA without maybe) and ``euadr`` share their words with
``bioasq`` and ``gad``. In ``nbme`` a question names which of two classes of words is to be marked.

Planted for vocabulary expansion: in the corpus ``terms`` the company of a domain word tells its class and is of
general words, which a general model has pieces for. A model that has a piece for the domain word, and is to say which
one stands in such company, learns the class; one that spells it learns its syllables. (In ``domain`` the company is of
domain words as well: masked along with the others wherever they have pieces of their own, they tell nothing.)

As in the STILT paper, the small question-answering tasks gain from relation tasks, entity recognition gains
from the same kind of entity, and entity recognition does nothing for relations.

Two corpora (:mod:`~trainables.data.miniature.text`) pretrain two models. The domain corpus tells the classes of about
a third of the words, by the company that they keep, so the domain model's baselines are better. The general corpus has
no domain word; its model spells them in syllables, and has to learn everything about them from the tasks.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json

from trainables.data import tasks
from trainables.data.examples import Example, Splits, TokenExample
from trainables.data.miniature import examples, text
from trainables.data.miniature.recipes import EXPERTS, MISLABELLED, PLANTED, RECIPES, UNRELATED, shared
from trainables.errors import UserError, did_you_mean

__all__ = [
    "CORPORA",
    "EXPERTS",
    "MISLABELLED",
    "PLANTED",
    "UNRELATED",
    "corpus",
    "corpus_fingerprint",
    "fingerprint",
    "generate",
    "settings",
    "shared",
]

CORPORA = ("general", "domain", "terms")


def generate(task: tasks.Task) -> Splits:
    """Makes a task's examples; the same in every process and on every machine.

    Args:
        task: A whole task: :mod:`~trainables.data.sources` cuts folds, alike for this benchmark and for real data.
    """
    return examples.generate(task)


@functools.cache
def fingerprint(task: tasks.Task) -> str:
    """Hash of the examples that :func:`generate` makes."""
    splits = generate(task)
    content = {split: [_content(example) for example in splits[split]] for split in sorted(splits)}
    return _hash(content)


def _content(example: Example) -> tuple[object, ...]:
    """What an example is; words without a question as before there were any."""
    asked = not isinstance(example, TokenExample) or example.question is not None
    return dataclasses.astuple(example)[: None if asked else -1]


def settings(task: tasks.Task) -> tasks.Settings:
    """The hyperparameters with which a miniature model is fine-tuned on the task or a fold of it."""
    return RECIPES[task.corpus].settings


def corpus(name: str) -> list[str]:
    """Sentences to pretrain on.

    Args:
        name: One of :data:`CORPORA`.

    Raises:
        UserError: For any other name.
    """
    if name not in CORPORA:
        raise UserError(f"unknown miniature corpus {name!r}{did_you_mean(name, CORPORA)}")
    return list({"general": text.general, "domain": text.domain, "terms": text.terms}[name]())


@functools.cache
def corpus_fingerprint(name: str) -> str:
    """Hash of the sentences that :func:`corpus` makes."""
    return _hash(corpus(name))


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()
