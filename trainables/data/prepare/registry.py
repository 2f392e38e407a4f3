"""Which reader turns which corpus into its task, and where a user gets the corpus."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from trainables.data.prepare import (
    bioasq,
    boolq,
    chemprot,
    conll,
    ddi,
    ebm_pico,
    emotion,
    euadr,
    fpb,
    fts,
    gad,
    hoc,
    i2b2,
    mind,
    nbme,
    pubmedqa,
    tacred,
    tweeteval,
)
from trainables.data.prepare.corpus import Prepared
from trainables.data.tasks import TASKS, Task


@dataclasses.dataclass(frozen=True)
class Corpus:
    """An original corpus.

    Attributes:
        prepare: Reads its folder.
        origin: What to get from where, and where to put it; ends the message about missing files.
    """

    prepare: Callable[[Path, Task], Prepared]
    origin: str


def _ner(distribution: str) -> Corpus:
    origin = f"{distribution}: train.tsv, devel.tsv and test.tsv from cambridgeltl/MTL-Bioinformatics-2016 on GitHub"
    return Corpus(conll.prepare, origin)


def _tweets(name: str) -> Corpus:
    files = "train_text.txt, train_labels.txt, val_..., test_... and mapping.txt"
    return Corpus(tweeteval.prepare, f"{files} from cardiffnlp/tweeteval on GitHub (datasets/{name})")


CORPORA: dict[str, Corpus] = {
    "bc5chem": _ner("data/BC5CDR-chem-IOB"),
    "bc5disease": _ner("data/BC5CDR-disease-IOB"),
    "ncbi_disease": _ner("data/NCBI-disease-IOB"),
    "bc2gm": _ner("data/BC2GM-IOB"),
    "jnlpba": Corpus(conll.prepare, "train.tsv, dev.tsv and test.tsv: the JNLPBA files of the BLURB benchmark"),
    "ebm_pico": Corpus(
        ebm_pico.prepare,
        "ebm_nlp_2_00.tar.gz from bepnye/EBM-NLP on GitHub, and the benchmark's lists "
        "indexing/{train,dev,test}_pmid.tsv from the BLURB data generation scripts",
    ),
    "chemprot": Corpus(
        chemprot.prepare,
        "ChemProt_Corpus from the BioCreative VI site: chemprot_<split>_{abstracts,entities,relations}.tsv in "
        "original/; the benchmark's own files, where you have them, as blurb/<split>.tsv",
    ),
    "ddi": Corpus(
        ddi.prepare,
        "DDICorpus-2013.zip from isegura/DDICorpus on GitHub, and the benchmark's lists "
        "indexing/{train,dev,test}_files.tsv from the BLURB data generation scripts",
    ),
    "gad": Corpus(
        gad.prepare,
        "train.tsv, dev.tsv and test.tsv: the GAD files of the BLURB benchmark; and for the published ten folds the "
        "folders 1 to 10 of BioBERT's distribution (dmis-lab/biobert on GitHub)",
    ),
    "pubmedqa": Corpus(pubmedqa.prepare, "ori_pqal.json from pubmedqa/pubmedqa on GitHub (data/)"),
    "bioasq": Corpus(
        bioasq.prepare,
        "register with the organisers (participants-area.bioasq.org) and put the task 7b training file and the five "
        "golden test files (7B1_golden.json to 7B5_golden.json) there",
    ),
    "hoc": Corpus(hoc.prepare, "train.tsv, dev.tsv and test.tsv: the HoC files of the BLURB benchmark"),
    "i2b2": Corpus(
        i2b2.prepare,
        "register for the n2c2 data sets at the DBMI data portal (portal.dbmi.hms.harvard.edu), get the 2010 relations "
        "challenge and unpack concept_assertion_relation_training_data, reference_standard_for_test_data and test_data",
    ),
    "fpb": Corpus(fpb.prepare, "Sentences_50Agree.txt of FinancialPhraseBank-v1.0 (Malo et al., 2014)"),
    "fts": Corpus(
        fts.prepare,
        "ask the organisers of SemEval-2017 task 5 (alt.qcri.org/semeval2017/task5) for the microblogs: "
        "Microblog_Trainingdata.json, and Microblogs_Testdata_withscores.json where you have it",
    ),
    "emotion": Corpus(
        emotion.prepare, "train.txt, val.txt and test.txt of the EMOTION data set (dair-ai/emotion_dataset on GitHub)"
    ),
    "tweet_emotion": _tweets("emotion"),
    "tweet_sentiment": _tweets("sentiment"),
    "mind": Corpus(
        mind.prepare,
        "accept the licence on the MIND site (msnews.github.io) and put the parts of MIND-large or MIND-small there, "
        "unpacked: MINDlarge_train/news.tsv and the others; the articles alone are read",
    ),
    "boolq": Corpus(
        boolq.prepare, "train.jsonl and dev.jsonl, linked from google-research-datasets/boolean-questions on GitHub"
    ),
    "euadr": Corpus(
        euadr.prepare,
        "EUADR_target_disease.csv of the EU-ADR corpus (IBI group), or BioBERT's folds as JSON lines in biobert_folds/ "
        "(datasets/EU-ADR_BioBERT of BNLNLP/PPI-Relation-Extraction on GitHub)",
    ),
    "tacred": Corpus(tacred.prepare, "LDC2018T24 of the Linguistic Data Consortium: train.json, dev.json, test.json"),
    "nbme": Corpus(
        nbme.prepare,
        "accept the rules of the Kaggle competition nbme-score-clinical-patient-notes and put train.csv, "
        "patient_notes.csv and features.csv there",
    ),
}


def corpora() -> dict[str, Task]:
    """The tasks that a corpus is known for, in the order of the registry of tasks."""
    return {name: task for name, task in TASKS.items() if name in CORPORA}
