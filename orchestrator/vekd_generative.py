"""The recipes of VE-KD's appendix E: GPT-2 and T5, and the students that they teach.

Where the paper leaves something open, this is what the recipes do:

* It prints no sizes of students. They have half of their teacher's layers, of T5 in the encoder and in the decoder.
* Plain distillation hides nothing from GPT-2, and 15% of the pieces from T5, as in either's pretraining.
* New words, and as many general pieces, are hidden one by one; neighbours are one blank of T5.
"""

from __future__ import annotations

from typing import Any, ClassVar

from orchestrator.vekd_recipes import LOSSES, Experiment, Parameters
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import AddedWords, GenerativeLMDistillation, TokenizedCorpus

#: What a distillation of masked-language models is told and one of generative models is not.
_NOT_APPLICABLE = ("replacement",)


class GenerativeExperiment(Experiment):
    """One generative teacher and one student on one corpus."""

    vocabulary: ClassVar[type[AddedWords]] = AddedWords

    def distilled(self, chosen: Parameters, seed: int, **more: Any) -> GenerativeLMDistillation:
        """The student: VE-KD's form, or plain distillation with the settings of :func:`search_spaces.vekd.plain`.

        Args:
            chosen: All hyperparameters; ``mlm_weight`` is that of the language-modelling loss.
            seed: Of the run.
            more: Other fields than the setting's.
        """
        losses = {name: chosen[name] for name in LOSSES}
        fields: dict[str, Any] = {
            "teacher": self.teacher[1],
            "corpus": self.corpus(chosen),
            "layers": self.student.layers,
            "tolerance": chosen["tolerance"],
            "seed": self.setting.pretraining(seed),
            "lm_weight": losses.pop("mlm_weight"),
            **losses,
            **{name: value for name, value in self.setting.distilling.items() if name not in _NOT_APPLICABLE},
            **more,
        }
        return GenerativeLMDistillation(**fields)

    def adapted(self, model: Stage, corpus: TokenizedCorpus, seed: int) -> Any:
        """Refused: appendix E adapts no model.

        Raises:
            UserError: Always.
        """
        raise UserError(f"{self.teacher[0]} is a generative model, and appendix E adapts none to a domain")
