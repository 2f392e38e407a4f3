"""The registry of tasks: name, kind, labels, metric, place in the JSON-lines layout, published settings.

Sources: metrics and settings are those of the BLURB benchmark as its released fine-tuning scripts use
them (the same as LinkBERT's and VE-KD's, last epoch kept); ``title`` is the STILT paper's, Table 1. The
three tasks that only the DoKTra paper has (i2b2, fpb, fts) take their metric from there, and their settings
from its fine-tuning (appendix A.1: length 128, the defaults of BioBERT's code for the learning rate; epochs
as in its Tables A1 and A4; batch as in the README of its released code). Those of the multi-teacher paper have the
settings of its section 4.3, those of the transfer-data paper learning rate and batch size of its section 5.3; lengths
of both, and the epochs of the second, which counts steps, are ours.
"""

from __future__ import annotations

import dataclasses
import re

from trainables.errors import UserError, did_you_mean

#: Between a task and its fold: ``gad@3/10`` is the third of ten folds, ``gad@10`` the mean over all ten.
FOLD = "@"
_FOLD = re.compile(r"(?:(?P<number>[1-9][0-9]{0,8})/)?(?P<count>[1-9][0-9]{0,8})")
#: Kinds whose labels stand on tokens; all others label a whole example.
TOKEN_KINDS = frozenset({"ner", "pico", "span"})


@dataclasses.dataclass(frozen=True)
class Settings:
    """Published fine-tuning hyperparameters of one task.

    Attributes:
        batch_size: Examples per step.
        learning_rate: Peak of the linear schedule.
        epochs: Passes over the training split.
        max_length: Word pieces per example, special tokens included.
        warmup_steps: Steps of linear warm-up.
        warmup_ratio: Warm-up as a share of all steps; used where ``warmup_steps`` is 0.
    """

    batch_size: int
    learning_rate: float
    epochs: int
    max_length: int
    warmup_steps: int = 0
    warmup_ratio: float = 0.0


@dataclasses.dataclass(frozen=True)
class Task:
    """One task of the benchmark.

    Attributes:
        name: Key in commands and leaderboard, as in the published results; of a fold with its number (``gad@3/10``).
        title: Name as the papers print it.
        kind: ``ner``, ``pico``, ``span``, ``relation``, ``document``, ``question``, ``sentiment`` or ``topic``.
        folder: Its folder in the JSON-lines layout.
        labels: All labels in the order of the classifier's outputs. Token tasks use ``O`` and, for one
            entity type, bare ``B`` and ``I``; ``span`` has no ``I``: its words are scored one by one. ``document``
            is multi-label, one output per label.
        negative: The label that the metric leaves out, or None.
        metric: ``f1`` (entity level), ``macro_f1`` (word level, without ``O``), ``micro_f1`` (without
            ``negative``; per document where ``kind`` is ``document``) or ``accuracy``.
        settings: Published hyperparameters.
        dropped: Labels of its files that the task does not have; examples with them are left out.
    """

    name: str
    title: str
    kind: str
    folder: str
    labels: tuple[str, ...]
    metric: str
    settings: Settings
    negative: str | None = None
    dropped: tuple[str, ...] = ()

    @property
    def corpus(self) -> str:
        """The task's key without a fold."""
        return self.name.partition(FOLD)[0]

    @property
    def on_tokens(self) -> bool:
        """Whether every word of an example has a label."""
        return self.kind in TOKEN_KINDS

    @property
    def asked(self) -> bool:
        """Whether every example on words comes with a question that says what is to be marked."""
        return self.kind == "span"

    @property
    def multi_label(self) -> bool:
        """Whether an example may have several labels or none."""
        return self.kind == "document"

    @property
    def pair(self) -> bool:
        """Whether an example is two texts."""
        return self.kind == "question"


_BIO = ("O", "B", "I")
_HALLMARKS = (
    "activating invasion and metastasis",
    "avoiding immune destruction",
    "cellular energetics",
    "enabling replicative immortality",
    "evading growth suppressors",
    "genomic instability and mutation",
    "inducing angiogenesis",
    "resisting cell death",
    "sustaining proliferative signaling",
    "tumor promoting inflammation",
)


def _ner(name: str, title: str, folder: str, batch_size: int, learning_rate: float, epochs: int) -> Task:
    settings = Settings(batch_size, learning_rate, epochs, 512, warmup_ratio=0.1)
    return Task(name, title, "ner", f"tokcls/{folder}_hf", _BIO, "f1", settings)


def _relation(name: str, title: str, folder: str, labels: tuple[str, ...], settings: Settings) -> Task:
    return Task(name, title, "relation", f"seqcls/{folder}_hf", ("0", *labels), "micro_f1", settings, negative="0")


def _question(name: str, title: str, labels: tuple[str, ...], epochs: int) -> Task:
    settings = Settings(16, 2e-5, epochs, 512, warmup_steps=100)
    return Task(name, title, "question", f"seqcls/{name}_hf", labels, "accuracy", settings)


def _classes(name: str, title: str, kind: str, labels: tuple[str, ...]) -> Task:
    """A task of the multi-teacher paper, scored per class as well; labels are those of its tables."""
    return Task(name, title, kind, f"seqcls/{name}_hf", labels, "accuracy", _MULTI_TEACHER)


def _sentiment(name: str, title: str, folder: str) -> Task:
    """The paper does not name the metric of these; micro-F1 over all three classes is their accuracy."""
    labels = ("positive", "neutral", "negative")
    return Task(name, title, "sentiment", f"seqcls/{folder}_hf", labels, "micro_f1", _DOKTRA)


#: Fine-tuning in the DoKTra paper; see the module.
_DOKTRA = Settings(50, 2e-5, 5, 128)
#: Fine-tuning of teachers and students in the multi-teacher paper; see the module.
_MULTI_TEACHER = Settings(8, 5e-5, 3, 128)
_NOTES = Settings(8, 5e-5, 3, 512)
#: Training in the transfer-data paper, by kind of task; see the module.
_TRANSFER_QUESTION, _TRANSFER_RELATION = Settings(12, 8e-6, 3, 512), Settings(12, 8e-6, 3, 128)

#: In the order of the STILT paper's tables; those that it leaves out last, by paper.
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _ner("bc5chem", "BC5-chem", "BC5CDR-chem", 32, 5e-5, 20),
        _ner("bc5disease", "BC5-disease", "BC5CDR-disease", 16, 5e-5, 8),
        _ner("ncbi_disease", "NCBI-disease", "NCBI-disease", 32, 5e-5, 20),
        _ner("bc2gm", "BC2GM", "BC2GM", 32, 6e-5, 50),
        _ner("jnlpba", "JNLPBA", "JNLPBA", 16, 1e-5, 5),
        Task(
            "ebm_pico",
            "EBM PICO",
            "pico",
            "tokcls/ebmnlp_hf",
            ("O", "B-PAR", "B-INT", "B-OUT"),
            "macro_f1",
            Settings(32, 5e-5, 1, 512),
            negative="O",
        ),
        _relation(
            "chemprot",
            "ChemProt",
            "chemprot",
            ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9"),
            Settings(32, 3e-5, 10, 256),
        ),
        _relation(
            "ddi",
            "DDI",
            "DDI",
            ("DDI-advise", "DDI-effect", "DDI-int", "DDI-mechanism"),
            Settings(32, 2e-5, 5, 256),
        ),
        _relation("gad", "GAD", "GAD", ("1",), Settings(32, 3e-5, 10, 256)),
        _question("pubmedqa", "PubMedQA", ("yes", "no", "maybe"), 30),
        _question("bioasq", "BioASQ", ("yes", "no"), 20),
        Task("hoc", "HoC", "document", "seqcls/HoC_hf", _HALLMARKS, "micro_f1", Settings(32, 4e-5, 40, 512)),
        _relation("i2b2", "i2b2", "i2b2", ("PIP", "TeCP", "TeRP", "TrAP", "TrCP", "TrIP", "TrNAP", "TrWP"), _DOKTRA),
        _sentiment("fpb", "FPB", "FPB"),
        _sentiment("fts", "FTS", "FTS"),
        _classes("emotion", "EMOTION", "sentiment", ("sadness", "joy", "love", "anger", "fear", "surprise")),
        _classes("tweet_emotion", "TweetEval emotion", "sentiment", ("anger", "joy", "optimism", "sadness")),
        _classes("tweet_sentiment", "TweetEval sentiment", "sentiment", ("negative", "neutral", "positive")),
        _classes("mind", "MIND", "topic", ("food_drink", "lifestyle", "video", "travel", "finance")),
        Task("boolq", "BoolQ", "question", "seqcls/boolq_hf", ("yes", "no"), "accuracy", _TRANSFER_QUESTION),
        Task(
            "pubmedqa_yesno",
            "PubMedQA yes/no",
            "question",
            "seqcls/pubmedqa_hf",
            ("yes", "no"),
            "accuracy",
            _TRANSFER_QUESTION,
            dropped=("maybe",),
        ),
        _relation("euadr", "EU-ADR", "euadr", ("1",), _TRANSFER_RELATION),
        _relation("tacred", "TACRED", "tacred", ("1",), _TRANSFER_RELATION),
        Task("nbme", "NBME", "span", "tokcls/nbme_hf", ("O", "B"), "micro_f1", _NOTES, negative="O"),
    )
}

#: The eleven tasks of the STILT paper, in the order of its tables.
STILT_TASKS: tuple[str, ...] = (
    "bc5chem",
    "bc5disease",
    "ncbi_disease",
    "bc2gm",
    "jnlpba",
    "ebm_pico",
    "chemprot",
    "ddi",
    "gad",
    "pubmedqa",
    "bioasq",
)
#: Test, dev, and something to train on.
_FEWEST_FOLDS = 3
#: Each is a training by itself, and stands in the expression of their mean.
_MOST_FOLDS = 100


def get(name: str) -> Task:
    """Looks a task up.

    Args:
        name: Key of the task; of one of its folds ``NAME@k/n``; of the mean over n folds ``NAME@n``.

    Raises:
        UserError: For an unknown name, with the nearest known one, and for a fold that cannot be.
    """
    known, separator, fold = name.partition(FOLD)
    if known not in TASKS:
        raise UserError(f"unknown task {name!r}{did_you_mean(known, TASKS)}")
    if not separator:
        return TASKS[known]
    found = _FOLD.fullmatch(fold)
    if found is None or int(found["number"] or 1) > int(found["count"]):
        raise UserError(f"task {name!r}: {known}@3/10 is the third of ten folds, {known}@10 the mean over all ten")
    if int(found["count"]) < _FEWEST_FOLDS:
        raise UserError(
            f"task {name!r}: {found['count']} folds are too few; one is the test split, one the dev split and the "
            f"others are trained on, so give at least {_FEWEST_FOLDS} ({known}@{_FEWEST_FOLDS})"
        )
    if int(found["count"]) > _MOST_FOLDS:
        raise UserError(
            f"task {name!r}: {found['count']} folds are too many, since each is a training by itself; give at most "
            f"{_MOST_FOLDS} ({known}@{_MOST_FOLDS}), as papers do ten ({known}@10)"
        )
    if TASKS[known].on_tokens:
        texts = [task for task in TASKS if not TASKS[task].on_tokens]
        raise UserError(
            f"task {name!r}: {known} labels words; folds are of tasks that label texts ({', '.join(texts)})"
        )
    return dataclasses.replace(TASKS[known], name=name, title=f"{TASKS[known].title} {fold}")


def prepared_as(task: Task) -> Task:
    """The task that its files are those of: PubMedQA of PubMedQA without maybe; any other task is its own."""
    return next((one for one in TASKS.values() if one.folder == task.folder), task)


def whole(name: str) -> str:
    """The task whose fold a task is (``gad@10`` of ``gad@3/10``); any other task is its own."""
    known, separator, fold = name.partition(FOLD)
    return f"{known}{separator}{fold.rpartition('/')[2]}"


def folds(name: str) -> tuple[str, ...]:
    """The folds of a task that is the mean over some (``gad@1/10``, ... of ``gad@10``); any other task alone."""
    known, separator, fold = name.partition(FOLD)
    if not separator or "/" in fold:
        return (name,)
    return tuple(f"{known}{FOLD}{number + 1}/{fold}" for number in range(int(fold)))


def fold_of(name: str) -> tuple[int, int] | None:
    """Number (from 1) and count of a fold; None for a task as it is distributed.

    Raises:
        UserError: For a mean over folds, which has no data of its own.
    """
    get(name)
    _, separator, fold = name.partition(FOLD)
    if not separator:
        return None
    number, _, count = fold.rpartition("/")
    if not number:
        raise UserError(f"task {name!r} is the mean over {count} folds; train {folds(name)[0]} and the others each")
    return int(number), int(count)
