"""Fine-tuning on a task: a pretrained encoder, a new head, the task's published settings."""

from __future__ import annotations

from trainables.context import Context, Run
from trainables.data import tasks
from trainables.stages import FineTune
from trainables.training import batches, classification, models
from trainables.training.classification import Classification, given
from trainables.training.loop import Training
from trainables.training.optimizer import Recipe


def run(stage: FineTune, context: Context) -> Run:
    """Fine-tunes and evaluates; the last epoch is kept. Where steps are counted, an epoch is a part of them.

    Yields after every step and evaluation batch. Writes ``predictions.parquet`` and, where wanted, ``model/``.

    Raises:
        UserError: For a model or data that cannot be used.
        StageError: Where the loss is not finite.
        OutOfDeviceMemory: Where the device's memory does not suffice.
    """
    start = context.model_folder(stage.init)
    classifier = models.classifier(start, tasks.get(stage.task), stage.seed)
    objective = Classification(stage, classifier, start, context.device, stage.confidence_penalty, stage.steps)
    recipe = Recipe(
        epochs=given(stage.epochs) if stage.steps is None else batches.parts_of(stage.steps),
        learning_rate=given(stage.learning_rate),
        warmup_steps=stage.warmup_steps or 0,
        warmup_ratio=stage.warmup_ratio or 0.0,
        weight_decay=stage.weight_decay,
        clip_norm=stage.clip_norm,
        seed=stage.seed,
    )
    training = Training(objective, recipe, context)
    yield from training.run()
    return (yield from classification.finish(objective, training, stage.max_length, start, context))
