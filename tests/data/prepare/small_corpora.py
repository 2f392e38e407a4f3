"""Every original corpus in its own format, a few examples each; used as given or damaged by a test."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

SPLITS = ("train", "dev", "test")
NO_HALLMARK = ",".join(f"{place}_0" for place in range(10))
FIRST_HALLMARK = NO_HALLMARK.replace("0_0", "0_1")
LAST_HALLMARK = NO_HALLMARK.replace("9_0", "9_1")
DDI_FILES = {"train": "Aspirin_ddi.xml", "dev": "Warfarin_ddi.xml", "test": "1234.xml"}


def put(file: Path, content: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def ner(folder: Path, dev: str = "devel") -> Path:
    for split in ("train", dev, "test"):
        put(folder / f"{split}.tsv", "Severe\tO\nkidney\tB-Disease\nfailure\tI-Disease\n.\tO\n\nNone\tO\n\n")
    return folder


def pico(folder: Path, splits: tuple[str, ...] = SPLITS) -> Path:
    for number, split in enumerate(splits):
        text = f"-DOCSTART- ({number}01)\n\nXylitol\tI-INT\nfor\tO\nchildren{number}\tI-PAR\n.\tO\n\nCaries\tI-OUT\n"
        put(folder / f"{split}.tsv", text + f"\n-DOCSTART- ({number}02)\n\nTwo\tO\n")
    return folder


def gad(folder: Path) -> Path:
    for split in SPLITS:
        rows = '0\ta "@GENE$ and @DISEASE$\t1\n1\tno @GENE$\t0\n'
        put(folder / f"{split}.tsv", f"index\tsentence\tlabel\n{rows}")
    return folder


def gad_folds(folder: Path, count: int = 3) -> Path:
    """BioBERT's form: four rows in each fold, of which the first is in all of them."""
    rows = [[f"@GENE$ {fold}.{row}\t{row % 2}\n" if row else "again\t1\n" for row in range(4)] for fold in range(count)]
    for fold, own in enumerate(rows):
        test = "".join(f"{place}\t{row}" for place, row in enumerate(own))
        put(folder / str(fold + 1) / "test.tsv", f"index\tsentence\tlabel\n{test}")
        others = [row for place, others in enumerate(rows) if place != fold for row in others]
        put(folder / str(fold + 1) / "train.tsv", "".join(others))
    return folder


def fpb(folder: Path, sentences: int = 30) -> Path:
    labels = ("neutral", "positive", "neutral")
    rows = [f"Net sales of caf\xe9s rose {n} @ EUR .@{labels[n % 3]}\r\n" for n in range(sentences)]
    put(folder / "Sentences_50Agree.txt", "".join([*rows, "It fell .@negative\r\n"]).encode("latin-1"))
    return folder


def microblog(name: object, score: object, **content: object) -> dict[str, object]:
    return {"id": name, "source": "twitter", "cashtag": "$A", "sentiment score": score, **content}


def fts(folder: Path, records: object = None) -> Path:
    if records is None:
        scores = (-0.7, -0.6, 0.0, 0.1, 0.6, 0.8)
        records = [microblog(str(n), scores[n % 6], spans=["sell", f"banks {n}"]) for n in range(30)]
    put(folder / "Microblog_Trainingdata.json", json.dumps(records))
    return folder


I2B2_TEXT = "Admission Date :\n\nShe has Chest  Pain and takes aspirin after an ECG .\n"
I2B2_CONCEPTS = """c="an ecg" 3:8 3:9||t="test"
c="chest pain" 3:2 3:3||t="problem"
c="aspirin" 3:6 3:6||t="treatment"
c="date" 1:1 1:1||t="test"
"""
I2B2_RELATIONS = """c="an ecg" 3:8 3:9||r="TeRP"||c="chest pain" 3:2 3:3
c="aspirin" 3:6 3:6||r="TrAP"||c="chest pain" 3:2 3:3
"""


def i2b2(folder: Path, concepts: str = I2B2_CONCEPTS, relations: str = I2B2_RELATIONS) -> Path:
    """Eleven training documents of two hospitals, and one to test on whose text lies elsewhere, as distributed."""
    training, reference = "concept_assertion_relation_training_data", "reference_standard_for_test_data"
    for hospital, numbers in (("beth", range(6)), ("partners", range(6, 11))):
        for number in numbers:
            place, name = folder / training / hospital, f"record-{number}"
            put(place / "txt" / f"{name}.txt", I2B2_TEXT)
            put(place / "concept" / f"{name}.con", concepts)
            put(place / "rel" / f"{name}.rel", relations)
            put(place / "ast" / f"{name}.ast", "not read")
    put(folder / "test_data" / "0001.txt", I2B2_TEXT)
    put(folder / reference / "concepts" / "0001.con", I2B2_CONCEPTS)
    put(folder / reference / "rel" / "0001.rel", I2B2_RELATIONS)
    return folder


def hoc(folder: Path) -> Path:
    rows = f"{NO_HALLMARK}\tTitle .\t7_s0\n{FIRST_HALLMARK}\tMiddle .\t7_s1\n{LAST_HALLMARK}\tEnd .\t7_s2\n"
    for split in SPLITS:
        put(folder / f"{split}.tsv", f"labels\tsentence\tindex\n{rows}{NO_HALLMARK}\tOther .\t8_s0\n")
    return folder


def pubmedqa(folder: Path, records: int = 40, *, lists: bool = False) -> Path:
    answers = ("yes", "yes", "no", "maybe")
    corpus = {
        str(1000 + number): {
            "QUESTION": f"Is it {number}?",
            "CONTEXTS": ["First.", "Second."],
            "LONG_ANSWER": "Secret.",
            "final_decision": answers[number % 4],
        }
        for number in range(records)
    }
    put(folder / "ori_pqal.json", json.dumps(corpus, indent=1))
    if lists:
        for number, split in enumerate(SPLITS):
            put(folder / "fold0_pmids" / f"{split}.txt", f"{1000 + 2 * number}\n{1001 + 2 * number}\n")
    return folder


def question(name: str, answer: object = "yes", kind: str = "yesno") -> dict[str, object]:
    snippets = [{"text": "First snippet."}, {"text": "Second."}]
    return {"id": name, "type": kind, "body": f"Is {name}?", "exact_answer": answer, "snippets": snippets}


def bioasq(folder: Path, **files: list[dict[str, object]]) -> Path:
    given = files or {split: [question("a"), question("b", ["No."]), question("c", kind="list")] for split in SPLITS}
    for name, questions in given.items():
        put(folder / f"{name}.json", json.dumps({"questions": questions}))
    return folder


def ddi_document(name: str, text: str = "Aspirin and warfarin.&#13;&#10;") -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<document id="{name}">
  <sentence id="{name}.s0" text=""/>
  <sentence id="{name}.s1" text="{text}">
    <entity id="{name}.s1.e0" charOffset="0-6" type="drug" text="Aspirin"/>
    <entity id="{name}.s1.e1" charOffset="12-19" type="drug" text="warfarin"/>
    <entity id="{name}.s1.e2" charOffset="0-2;12-14" type="group" text="Asp war"/>
    <pair id="{name}.s1.p0" e1="{name}.s1.e0" e2="{name}.s1.e1" ddi="true" type="effect"/>
    <pair id="{name}.s1.p1" e1="{name}.s1.e0" e2="{name}.s1.e2" ddi="true"/>
    <pair id="{name}.s1.p2" e1="{name}.s1.e1" e2="{name}.s1.e0" ddi="false"/>
  </sentence>
</document>
"""


def ddi(folder: Path, documents: Mapping[str, str] | None = None, *, unpacked: bool = False) -> Path:
    documents = documents or {name: ddi_document(name) for name in DDI_FILES.values()}
    members = {f"DDICorpus/Train/{name}": text for name, text in documents.items()}
    members["DDICorpus/Test/Test for DrugNER task/other.xml"] = "no part of the task"
    if unpacked:
        for name, text in members.items():
            put(folder / name, text)
    else:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, text in members.items():
                archive.writestr(name, text)
        put(folder / "DDICorpus.zip", packed.getvalue())
    for split, name in DDI_FILES.items():
        put(folder / "indexing" / f"{split}_files.tsv", f"elsewhere/{name}\n")
    return folder


def chemprot(folder: Path) -> Path:
    original = folder / "original"
    for split, ending in (("training", ""), ("development", ""), ("test", "_gs")):
        pmid, name = f"9{len(split)}", f"chemprot_{split}"
        put(
            original / f"{name}_abstracts{ending}.tsv",
            f"{pmid}\tAspirin binds COX\tIt blocks COX-2. Aspirin-COX helps.\n",
        )
        entities = (
            ("T1", "CHEMICAL", 0, 7, "Aspirin"),
            ("T2", "GENE-Y", 14, 17, "COX"),
            ("T3", "GENE-N", 28, 33, "COX-2"),
            ("T4", "CHEMICAL", 35, 42, "Aspirin"),
            ("T5", "GENE-Y", 35, 46, "Aspirin-COX"),
        )
        put(
            original / f"{name}_entities{ending}.tsv",
            "".join("\t".join(map(str, (pmid, *entity))) + "\n" for entity in entities),
        )
        put(
            original / f"{name}_relations{ending}.tsv",
            f"{pmid}\tCPR:3\tY \tACTIVATOR\tArg1:T1\tArg2:T2\n"
            f"{pmid}\tCPR:4\tY \tINHIBITOR\tArg1:T1\tArg2:T2\n"
            f"{pmid}\tCPR:2\tN \tDIRECT-REGULATOR\tArg1:T4\tArg2:T5\n",
        )
    put(folder / "blurb" / "dev.tsv", '5.T1.T2\t"@GENE$ and @CHEMICAL$\tCPR:9\n5.T1.T3\t@CHEM-GENE$\tfalse\n')
    return folder


def ebm_nlp(folder: Path, members: Mapping[str, str] | None = None) -> Path:
    """The archive of EBM-NLP 2.0 with three abstracts, and the lists that put one into each split."""
    votes = {"participants": "0 1 0 0 0", "interventions": "0 1 1 0 0", "outcomes": "0,0,0,0,4"}
    contents: dict[str, str] = {}
    for pmid, place in (("11", "train"), ("12", "train"), ("13", "test/gold")):
        contents[f"documents/{pmid}.tokens"] = f"We\ntreat\ncaries{pmid}\n.\nwell"
        for element, values in votes.items():
            name = f"annotations/aggregated/starting_spans/{element}/{place}/{pmid}.AGGREGATED.ann"
            contents[name] = values.replace(" ", "\n")
        contents[f"annotations/individual/phase_1/participants/{place}/{pmid}.A1.ann"] = "not a vote"
    contents |= members or {}
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "ebm_nlp_2_00.tar.gz", "w:gz") as archive:
        for name, text in contents.items():
            entry = tarfile.TarInfo(f"ebm_nlp_2_00/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    for split, pmid in zip(SPLITS, ("11", "12", "13"), strict=True):
        put(folder / "indexing" / f"{split}_pmid.tsv", pmid)
    return folder


def emotion(folder: Path) -> Path:
    for split in ("train", "val", "test"):
        put(folder / f"{split}.txt", f"i feel a;b {split};joy\ni am alone;sadness\n")
    return folder


def tweets(folder: Path, mapping: str = "0\tanger\n1\tjoy\n2\toptimism\n3\tsadness") -> Path:
    for split in ("train", "val", "test"):
        put(folder / f"{split}_text.txt", f"@user so {split} \nfine | 😀 \n")
        put(folder / f"{split}_labels.txt", "1\n2\n")
    put(folder / "mapping.txt", mapping)
    return folder


MIND_CATEGORIES = ("foodanddrink", "lifestyle", "video", "travel", "finance", "sports")


def article(number: int, category: str, title: str) -> str:
    return f"N{number}\t{category}\tany\t{title}\tAn abstract\thttps://x\t[]\t[]\n"


def mind(folder: Path, articles: int = 20) -> Path:
    """So many articles in each of five categories and one that is left out; a second part has some of them again."""
    rows = [article(number, MIND_CATEGORIES[number % 6], f"Title  {number} of day") for number in range(articles * 6)]
    put(folder / "MINDsmall_train" / "news.tsv", "".join(rows))
    put(folder / "MINDsmall_dev" / "news.tsv", "".join([*rows[:9], article(900, "finance", "One more")]))
    return folder


def boolq(folder: Path, *, train: bool = True) -> Path:
    def rows(count: int, name: str) -> str:
        found = [
            {"question": f"is {name} {n} it", "title": "A", "answer": n % 3 > 0, "passage": f"It is {name} {n}."}
            for n in range(count)
        ]
        return "".join(json.dumps(row) + "\n" for row in found)

    put(folder / "dev.jsonl", rows(30, "dev"))
    if train:
        put(folder / "train.jsonl", rows(60, "train"))
    return folder


EUADR_HEADER = "\t".join(
    f'"{name}"'
    for name in (
        "ASSOCIATION_TYPE",
        "PMID",
        "NUM_SENTENCE",
        *(f"ENTITY{number}_{part}" for number in (1, 2) for part in ("TEXT", "INI", "END", "TYPE")),
        "SENTENCE",
    )
)


def association(kind: str = "PA", number: int = 0, gene: str = "LRP5", start: int = 3) -> str:
    """A row of EU-ADR's table about a gene in a sentence with an accent."""
    sentence = f"No {gene} in caf\xe9 flu {number}."
    flu = len(f"No {gene} in caf\xe9 ")
    first = f'"{gene}"\t{start}\t{start + len(gene)}\t"Genes & Molecular Sequences"'
    return f'"{kind}"\t17\t{number}\t{first}\t"flu"\t{flu}\t{flu + 3}\t"Diseases & Disorders"\t"{sentence}"'


def euadr(folder: Path, rows: int = 20) -> Path:
    kinds = ("PA", "FA", "NA", "SA", "FA")
    table = [EUADR_HEADER, *(association(kinds[number % 5], number) for number in range(rows))]
    put(folder / "EUADR_target_disease.csv", "\n".join(table).encode("latin-1"))
    return folder


def euadr_folds(folder: Path, count: int = 3) -> Path:
    for fold in range(count):
        rows = [
            {"id": f"test_{fold}_{row}", "text": f"@GENE$ {fold} {row}", "relation": [{"relation_type": kind}]}
            for row, kind in enumerate(("positive", "negative"))
        ]
        put(folder / "biobert_folds" / f"test_{fold}.json", "".join(json.dumps(row) + "\n" for row in rows))
    return folder


def sentence(name: str = "a", relation: str = "per:title", **changed: object) -> dict[str, object]:
    """A record of TACRED."""
    tokens = ["Ann", "Lee", "-LRB-", "boss", "-RRB-", "left", "Rome", "."]
    subject = {"subj_start": 0, "subj_end": 1, "subj_type": "PERSON"}
    object_ = {"obj_start": 3, "obj_end": 3, "obj_type": "TITLE"}
    return {"id": name, "relation": relation, "token": tokens, **subject, **object_, **changed}


def tacred(folder: Path) -> Path:
    for split in SPLITS:
        put(folder / f"{split}.json", json.dumps([sentence(), sentence("b", "no_relation")]))
    return folder


NBME_NOTE = '17yo, "heart" pounding.\nMom: thyroid-disease'


def nbme(folder: Path, notes: int = 10, location: str = "['0 4', '7 12;14 22']") -> Path:
    """Notes of two lines with quotes; two features are asked of each, and one of them is there."""
    rows = [["id", "case_num", "pn_num", "feature_num", "annotation", "location"]]
    for note in range(notes):
        rows += [
            [f"{note:05}_000", "0", f"{note}", "000", "['any']", location],
            [f"{note:05}_001", "0", f"{note}", "001", "[]", "[]"],
        ]
    texts = [["pn_num", "case_num", "pn_history"], *([f"{note}", "0", NBME_NOTE] for note in range(notes))]
    features = [["feature_num", "case_num", "feature_text"]]
    features += [["000", "0", "Palpitations-OR-heart-pounding"], ["001", "0", "Female"]]
    for name, table in (("train", rows), ("patient_notes", texts), ("features", features)):
        written = io.StringIO(newline="")
        csv.writer(written, lineterminator="\n").writerows(table)
        put(folder / f"{name}.csv", written.getvalue())
    return folder


def everything(source: Path) -> Path:
    for name in ("bc5chem", "bc5disease", "ncbi_disease", "bc2gm", "jnlpba"):
        ner(source / name)
    pico(source / "ebm_pico")
    chemprot(source / "chemprot")
    ddi(source / "ddi")
    gad(source / "gad")
    pubmedqa(source / "pubmedqa")
    bioasq(source / "bioasq")
    hoc(source / "hoc")
    i2b2(source / "i2b2")
    fpb(source / "fpb")
    fts(source / "fts")
    emotion(source / "emotion")
    tweets(source / "tweet_emotion")
    tweets(source / "tweet_sentiment", "0\tnegative\n1\tneutral\n2\tpositive")
    mind(source / "mind")
    boolq(source / "boolq")
    euadr(source / "euadr")
    tacred(source / "tacred")
    nbme(source / "nbme")
    return source
