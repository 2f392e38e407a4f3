"""Hub models without a network: from the hub's cache, as on a cluster's node that has downloaded them before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.trainables import tiny
from trainables.data import pretrained
from trainables.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"

PROGRAM = """
    import json
    from trainables.data import pretrained
    from trainables.stages import FineTune, Pretrained

    model = Pretrained("owner/tiny")
    stage = FineTune("gad", model, data="mini")
    print(json.dumps({
        "fingerprint": model.fingerprints()["weights"],
        "same key": model.key == Pretrained("owner/tiny", "0123456789abcdef0123456789abcdef01234567").key,
        "revision": stage.to_json()["init"]["revision"],
        "folder": str(pretrained.local_folder("owner/tiny", None)),
    }))
"""


#: What an early model's repository has on the hub, FinBERT's for one.
FIRST_BERT = [
    "architectures",
    "attention_probs_dropout_prob",
    "hidden_act",
    "hidden_dropout_prob",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "type_vocab_size",
    "vocab_size",
]
LOAD = """
    import sys
    from pathlib import Path
    from trainables.data import pretrained, tasks
    from trainables.training import models, tokenizers

    folder = pretrained.local_folder("owner/tiny", None)
    assert pretrained.local_folder("owner/tiny", None) == folder
    model = models.classifier(folder, tasks.get("gad"), 0)
    print(folder, model.config.model_type, tokenizers.load(folder).wrapped.tokenize("The cat"), sep="\\n")
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A hub cache that holds one model, laid out as ``huggingface_hub`` does."""
    repository = tmp_path / "hub" / "models--owner--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    tiny.bert(repository / "snapshots" / COMMIT)
    return tmp_path


def run(cache: Path, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        env={**os.environ, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_cached_model_is_found_and_pinned_to_its_commit(cache: Path) -> None:
    done = run(cache, PROGRAM)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["fingerprint"] == f"owner/tiny@{COMMIT}"
    assert found["same key"]
    assert found["revision"] == COMMIT
    assert Path(found["folder"]).name == COMMIT
    assert (Path(found["folder"]) / "config.json").is_file()


def test_a_model_that_neither_hub_nor_cache_knows_is_refused(cache: Path) -> None:
    done = run(cache, "from trainables.stages import Pretrained; Pretrained('owner/other').key")
    assert done.returncode != 0
    assert "UserError: model 'owner/other' is no local folder" in done.stderr


@pytest.fixture
def early(cache: Path) -> Path:
    """The cached model in the layout of 2020: no ``model_type``, weights as a pickle, a bare vocabulary."""
    snapshot = cache / "hub" / "models--owner--tiny" / "snapshots" / COMMIT
    config = json.loads((snapshot / "config.json").read_text())
    (snapshot / "config.json").write_text(json.dumps({key: config[key] for key in FIRST_BERT}))
    torch.save(load_file(snapshot / "model.safetensors"), snapshot / "pytorch_model.bin")
    for path in snapshot.iterdir():
        if path.name not in ("config.json", "pytorch_model.bin", "vocab.txt"):
            path.unlink()
    return snapshot


def test_an_early_model_on_the_hub_loads(cache: Path, early: Path) -> None:
    before = {path.name: path.read_bytes() for path in early.iterdir()}
    for _ in range(2):  # the second time from what the first one made
        done = run(cache, LOAD)
        assert done.returncode == 0, done.stderr
        folder, model_type, pieces = done.stdout.splitlines()
        assert Path(folder).is_relative_to(early.parent.parent)
        assert model_type == "bert"
        assert "the" in pieces.lower()
    assert {path.name: path.read_bytes() for path in early.iterdir()} == before


def test_an_early_model_in_a_folder_is_refused_with_what_to_add(early: Path) -> None:
    with pytest.raises(UserError, match=r'has no model_type; add the architecture\'s .*"model_type": "bert"'):
        pretrained.fingerprint(str(early), None)


def test_a_hub_model_without_weights_for_torch_is_refused(cache: Path, early: Path) -> None:
    (early / "pytorch_model.bin").unlink()
    done = run(cache, "from trainables.data import pretrained; pretrained.local_folder('owner/tiny', None)")
    assert done.returncode != 0
    assert "UserError: hub model 'owner/tiny' cannot be used" in done.stderr
    assert "has no weights" in done.stderr
