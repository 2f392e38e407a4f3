"""The leaderboard's columns. A later method adds its own to :data:`COLUMNS`; older files read as null there."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow

#: What became of a recipe.
STATUSES = ("finished", "pruned", "failed", "blocked")


class Column(NamedTuple):
    """One column.

    Attributes:
        name: As in pandas and SQL.
        kind: ``string``, ``strings`` (a list), ``int``, ``float``, ``floats`` (by name) or ``time`` (UTC).
        meaning: One line for people, with the unit.
    """

    name: str
    kind: str
    meaning: str


LABELS = (
    Column("sweep", "string", "name of the sweep"),
    Column("method", "string", "finetune, stilt, ...; keys as in the published results"),
    Column("model", "string", "model that is evaluated"),
    Column("task", "string", "target task"),
    Column("intermediate", "string", "task trained before the target; null for a baseline"),
    Column("teachers", "strings", "models distilled from; empty where none"),
    Column("student", "string", "architecture of the student"),
    Column("seed", "int", "of the run"),
    Column("study", "string", "name of the search that asked for it; null for any other sweep"),
    Column("trial", "int", "number of the trial in that search, as Optuna counts"),
)

SCORES = (
    Column("split", "string", "what score is measured on"),
    Column("metric", "string", "the task's metric"),
    Column("score", "float", "in percent, as papers print it"),
    Column("dev_score", "float", "the same metric on dev, in percent; choose by this one"),
    Column("ece", "float", "expected calibration error on test, in percent (10 bins)"),
    Column("dev_ece", "float", "the same on dev"),
    Column("auroc", "float", "area under the ROC curve on test, in percent; of tasks with two labels"),
    Column("dev_auroc", "float", "the same on dev"),
    Column("class_accuracy", "floats", "share of each label's test examples that are right, in percent"),
    Column("dev_class_accuracy", "floats", "the same on dev"),
)

#: What a distilled student is measured by. Of a mean over folds, each is the mean of the folds'.
DISTILLATION_SCORES = (
    Column("teacher_score", "float", "score of the teacher that was distilled from"),
    Column("student_score", "float", "score of the student's own fine-tuning, before distillation"),
    Column("retention", "float", "score over teacher_score, in percent"),
    Column("teacher_ece", "float", "expected calibration error of the teacher on test, in percent"),
    Column("l_at", "float", "units whose sign differs from the teacher's on test, mean over examples (DoKTra, eq. 4)"),
    Column("l_at_boundary", "float", "the same at the end of the boundary phase, before refinement"),
    Column("dev_l_at", "float", "l_at on dev"),
)

_FINE_TUNING = (
    Column("learning_rate", "float", "peak of the linear schedule"),
    Column("batch_size", "int", "examples per step"),
    Column("epochs", "int", "passes over the training split"),
    Column("max_length", "int", "word pieces per example"),
    Column("warmup_steps", "int", "steps of linear warm-up"),
    Column("warmup_ratio", "float", "warm-up as a share of all steps, where warmup_steps is 0"),
    Column("train_limit", "int", "training examples at most; null for all"),
    Column("weight_decay", "float", "of AdamW"),
    Column("clip_norm", "float", "largest gradient norm"),
    Column("confidence_penalty", "float", "weight of the negative entropy (DoKTra's beta; of a distillation, beta 2)"),
)

#: Fields of the root stage that become columns under their own names, where the stage has them. Those of a mean over
#: folds are what all folds have in common.
HYPERPARAMETERS = (
    *_FINE_TUNING,
    Column("switch_rate", "float", "share of the epochs that distil (DoKTra's gamma)"),
    Column("margin", "float", "around each unit's boundary (DoKTra's mu)"),
    Column("projection", "string", "how vectors of different widths are compared"),
    Column("boundary_scale", "float", "factor on the boundary loss"),
    Column("alpha", "float", "weight of the gold labels beside the teachers (multi-teacher distillation)"),
    Column("temperature", "float", "of the teachers' distributions"),
    Column("teacher_loss", "float", "weight of the teachers' own loss"),
    Column("expertise_split", "string", "where teachers were judged; rows with test looked at test data to train"),
    Column("steps", "int", "steps of training, where they are counted instead of epochs"),
    Column("transfer_task", "string", "task whose texts were trained on, where that is another one"),
    Column("random_seed", "int", "of random text, where that was trained on"),
)

#: The same of the stage that ``init`` names, where that one was fine-tuned too.
INTERMEDIATE = "intermediate_"
INTERMEDIATE_HYPERPARAMETERS = tuple(
    Column(INTERMEDIATE + column.name, column.kind, f"of the intermediate stage: {column.meaning}")
    for column in _FINE_TUNING
)

#: Some of the same of the stages that were distilled from and into, where the root stage has a teacher and a student.
TEACHER = "teacher_"
STUDENT = "student_"
_OF_BOTH = ("epochs", "learning_rate", "batch_size", "max_length", "confidence_penalty", "train_limit")
TEACHER_HYPERPARAMETERS = tuple(
    Column(TEACHER + column.name, column.kind, f"of the teacher: {column.meaning}")
    for column in _FINE_TUNING
    if column.name in _OF_BOTH
)
STUDENT_HYPERPARAMETERS = tuple(
    Column(STUDENT + column.name, column.kind, f"of the student's own fine-tuning: {column.meaning}")
    for column in _FINE_TUNING
    if column.name in _OF_BOTH
)

#: Fields of what a fine-tuned model was pretrained by in the same sweep: a distillation on a corpus, domain adaptation
#: on one, or both. Null for other models.
PRETRAINING = "pretraining_"
ADAPTATION = "adaptation_"
TEXT_HYPERPARAMETERS = (
    Column("corpus", "string", "text of the pretraining; of a file or folder the last part of its name"),
    Column("share", "float", "share of the corpus's texts"),
    Column("min_words", "int", "shorter texts were left out"),
    Column("vocabulary_size", "int", "pieces of the expanded vocabulary; null for the teacher's own"),
)
DISTILLATION_HYPERPARAMETERS = (
    Column("tolerance", "float", "distillation losses below it count as 0 (VE-KD's epsilon)"),
    Column("mlm_weight", "float", "weight of the language-modelling loss (VE-KD's alpha)"),
    Column("kl_weight", "float", "weight of the Kullback-Leibler divergence"),
    Column("cosine_weight", "float", "weight of the hidden states' cosine"),
    Column("mse_weight", "float", "weight of the logits' squared difference"),
    Column("new_embeddings", "string", "how new pieces' embeddings begin"),
    Column("replacement", "string", "what stands for a chosen ordinary piece"),
    Column("hidden_size", "int", "width of the student; null for the teacher's"),
)
_PRETRAINING = (
    Column("learning_rate", "float", "peak of the linear schedule"),
    Column("batch_size", "int", "sequences per step"),
    Column("epochs", "int", "passes over the corpus"),
    Column("steps", "int", "steps of training, where they are counted instead of epochs"),
    Column("warmup_ratio", "float", "warm-up as a share of all steps"),
    Column("mask_rate", "float", "share of ordinary pieces to predict"),
    Column("seed", "int", "of masking, order, new weights and dropout"),
)
PRETRAINING_HYPERPARAMETERS = (
    *TEXT_HYPERPARAMETERS,
    *DISTILLATION_HYPERPARAMETERS,
    Column(PRETRAINING + "layers", "int", "of the student"),
    *(
        Column(PRETRAINING + column.name, column.kind, f"of the distillation on the corpus: {column.meaning}")
        for column in _PRETRAINING
    ),
    *(
        Column(ADAPTATION + column.name, column.kind, f"of domain adaptation on the corpus: {column.meaning}")
        for column in _PRETRAINING
    ),
)
PRETRAINING_SCORES = (
    Column("new_pieces", "int", "pieces that the expanded vocabulary has more than the teacher's"),
    Column("corpus_ratio", "float", "pieces of the corpus with the expanded vocabulary over those with the teacher's"),
    Column("pretraining_loss", "float", "masked-language-modelling loss of that pretraining on text held out"),
)

COST = (
    Column("parameters", "int", "weights of the model"),
    Column("own_seconds", "float", "wall time of the root stage alone"),
    Column("inherited_seconds", "float", "wall time of all stages that it starts from, each counted once"),
    Column("gpu_seconds", "float", "wall time of the root stage times its share of a GPU"),
    Column("peak_memory_bytes", "int", "largest memory of the root stage on its device"),
    Column("speedup", "float", "speed over that of the baseline, both measured in turns by one process"),
    Column("examples_per_second", "float", "speed of the forward pass, measured on the row's device"),
)

PROVENANCE = (
    Column("data", "string", "fingerprint of the task's data, of all folds' together; compare only runs on the same"),
    Column(
        "transfer_data", "string", "fingerprint of the transfer data, where the texts of another task were trained on"
    ),
    Column("key", "string", "of the root stage: its folder in the store"),
    Column("teacher_keys", "strings", "keys of the teachers' own stages, in the order of teachers"),
    Column("row_key", "string", "of the row: hash of sweep and key"),
    Column("python_version", "string", "of the worker"),
    Column("torch_version", "string", "of the worker"),
    Column("transformers_version", "string", "of the worker"),
    Column("ray_version", "string", "of the worker"),
    Column("commit", "string", "of this project's code"),
    Column("host", "string", "where the root stage ran"),
    Column("device", "string", "what it ran on"),
    Column("precision", "string", "float32 or bfloat16"),
    Column("threads", "int", "CPU threads"),
    Column("started_at", "time", "start of the root stage, UTC"),
    Column("finished_at", "time", "end of the root stage, UTC"),
)

OUTCOME = (
    Column("status", "string", ", ".join(STATUSES)),
    Column("error", "string", "why it failed or what it is blocked by; null otherwise"),
)

COLUMNS: tuple[Column, ...] = (
    *LABELS,
    *SCORES,
    *DISTILLATION_SCORES,
    *HYPERPARAMETERS,
    *INTERMEDIATE_HYPERPARAMETERS,
    *TEACHER_HYPERPARAMETERS,
    *STUDENT_HYPERPARAMETERS,
    *PRETRAINING_HYPERPARAMETERS,
    *PRETRAINING_SCORES,
    *COST,
    *PROVENANCE,
    *OUTCOME,
)
NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)


@functools.cache
def arrow(names: tuple[str, ...] = NAMES) -> pyarrow.Schema:
    """The Parquet schema, or some columns of it; every column may be null."""
    import pyarrow as pa

    kinds: dict[str, Any] = {
        "string": pa.string(),
        "strings": pa.list_(pa.string()),
        "int": pa.int64(),
        "float": pa.float64(),
        "floats": pa.map_(pa.string(), pa.float64()),
        "time": pa.timestamp("us", tz="UTC"),
    }
    kind = {column.name: kinds[column.kind] for column in COLUMNS}
    return pa.schema([pa.field(name, kind[name]) for name in names])


def unified(table: pyarrow.Table, names: tuple[str, ...] = NAMES) -> pyarrow.Table:
    """A table with today's columns in order, null where it lacks one; ones that are unknown stay, behind them.

    Args:
        table: Rows of any version.
        names: The known columns that are wanted.

    Raises:
        pyarrow.ArrowInvalid: Where a column cannot be read as the type it has today.
    """
    import pyarrow as pa

    schema = arrow(names)
    if table.schema.equals(schema):
        return table
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    newer = [name for name in table.column_names if name not in NAMES]
    return pa.table([*columns, *(table.column(name) for name in newer)], names=[*names, *newer])
