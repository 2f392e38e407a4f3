"""Hub models without a network: from the hub's cache, as on a cluster's node that has downloaded them before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.trainables import tiny

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
