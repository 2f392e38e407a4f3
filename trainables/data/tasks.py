"""The registry of tasks: name, kind, labels, metric, place in the JSON-lines layout, published settings.

Sources: metrics and settings are those of the BLURB benchmark as its released fine-tuning scripts use
them (the same as LinkBERT's and VE-KD's, last epoch kept); ``title`` is the STILT paper's, Table 1.
"""

from __future__ import annotations

import dataclasses

from trainables.errors import UserError, did_you_mean

#: Kinds whose labels stand on tokens; all others label a whole example.
TOKEN_KINDS = frozenset({"ner", "pico"})


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
        name: Key in commands and leaderboard, as in the published results.
        title: Name as the papers print it.
        kind: ``ner``, ``pico``, ``relation``, ``document`` or ``question``.
        folder: Its folder in the JSON-lines layout.
        labels: All labels in the order of the classifier's outputs. Token tasks use ``O`` and, for one
            entity type, bare ``B`` and ``I``; ``document`` is multi-label, one output per label.
        negative: The label that the metric leaves out, or None.
        metric: ``f1`` (entity level), ``macro_f1`` (word level, without ``O``), ``micro_f1`` (without
            ``negative``; per document where ``kind`` is ``document``) or ``accuracy``.
        settings: Published hyperparameters.
    """

    name: str
    title: str
    kind: str
    folder: str
    labels: tuple[str, ...]
    metric: str
    settings: Settings
    negative: str | None = None

    @property
    def on_tokens(self) -> bool:
        """Whether every word of an example has a label."""
        return self.kind in TOKEN_KINDS

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


#: In the order of the STILT paper's tables; HoC, which that paper leaves out, last.
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
    )
}

#: The eleven tasks of the STILT paper, in the order of its tables.
STILT_TASKS: tuple[str, ...] = tuple(name for name in TASKS if name != "hoc")


def get(name: str) -> Task:
    """Looks a task up.

    Raises:
        UserError: For an unknown name, with the nearest known one.
    """
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}{did_you_mean(name, TASKS)}")
    return TASKS[name]
