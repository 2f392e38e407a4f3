from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data import corpora, corpus_files, corpus_hub, hub, jsonl, sources, tasks
from trainables.data.examples import TextExample
from trainables.errors import UserError


def test_miniature_corpora_have_texts_and_fingerprints() -> None:
    assert len(list(corpora.read("mini:general"))) > 100
    assert corpora.fingerprint("mini:general") != corpora.fingerprint("mini:domain")


def test_a_tasks_corpus_is_its_training_texts() -> None:
    texts = list(corpora.read("task:pubmedqa", "mini"))
    examples = sources.load("mini", "pubmedqa")["train"]
    first = examples[0]
    assert isinstance(first, TextExample)
    assert len(texts) == len(examples)
    assert texts[0] == f"{first.text} {first.pair}"
    words = next(iter(corpora.read("task:bc2gm", "mini")))
    assert words == " ".join(sources.load("mini", "bc2gm")["train"][0].tokens)  # type: ignore[union-attr]
    assert corpora.fingerprint("task:bc2gm", "mini") != corpora.fingerprint("task:pubmedqa", "mini")
    asked = sources.load("mini", "nbme")["train"][0]
    expected = f"{asked.question} {' '.join(asked.tokens)}"  # type: ignore[union-attr]
    assert next(iter(corpora.read("task:nbme", "mini"))) == expected


def test_a_tasks_corpus_follows_its_data(tmp_path: Path) -> None:
    task = tasks.get("gad")
    for folder, text in (("one", "a"), ("same", "a"), ("other", "b")):
        for split in ("train", "dev", "test"):
            file = tmp_path / folder / task.folder / f"{split}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            jsonl.write(file, task, [TextExample("0", text, 1)])
    found = [corpora.fingerprint("task:gad", str(tmp_path / name)) for name in ("one", "same", "other")]
    assert found[0] == found[1] != found[2]


def test_files_are_read_line_by_line_wherever_they_lie(tmp_path: Path) -> None:
    plain, packed = tmp_path / "one" / "a.txt", tmp_path / "two" / "sub" / "b.txt.gz"
    for path in (plain, packed):
        path.parent.mkdir(parents=True)
    plain.write_text("first\n\n  second µ \n", encoding="utf-8")
    with gzip.open(packed, "wt", encoding="utf-8") as file:
        file.write("third\n")
    assert list(corpora.read(str(plain))) == ["first", "second µ"]
    assert list(corpora.read(str(tmp_path))) == ["first", "second µ", "third"]
    moved = tmp_path / "moved.txt"
    moved.write_bytes(plain.read_bytes())
    assert corpora.fingerprint(str(moved)) == corpora.fingerprint(str(plain))
    moved.write_text("changed\n")
    assert corpora.fingerprint(str(moved)) != corpora.fingerprint(str(plain))


@pytest.mark.parametrize(
    ("corpus", "data", "message"),
    [
        ("mini:generl", None, "did you mean 'general'"),
        ("task:gda", "mini", "did you mean 'gad'"),
        ("task:gad", None, "needs the source"),
        ("nowhere.txt", None, r"no such file or folder \(looked for at /.*/nowhere.txt\); .* or one of mini:general"),
    ],
)
def test_unknown_corpora_are_refused(corpus: str, data: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        corpora.fingerprint(corpus, data)
    with pytest.raises(UserError, match=message):
        list(corpora.read(corpus, data))


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("text")
    with pytest.raises(UserError, match=r"notes.md' is no .txt, .gz, .tar, .tar.gz or .tgz file"):
        corpora.fingerprint(str(tmp_path / "notes.md"))
    (tmp_path / "notes.md").unlink()
    with pytest.raises(UserError, match="holds no"):
        corpora.fingerprint(str(tmp_path))
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "torn.gz").write_bytes(b"no gzip")
    for name in ("latin.txt", "torn.gz"):
        with pytest.raises(UserError, match=name):
            list(corpora.read(str(tmp_path / name)))


def pack(path: Path, mode: str, members: dict[str, bytes]) -> None:
    """An archive as `tar` makes it: folders are members, too."""
    with tarfile.open(path, mode) as archive:
        folder = tarfile.TarInfo("abstracts")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            member = tarfile.TarInfo(f"abstracts/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz")])
def test_a_member_of_an_archive_is_one_text(name: str, mode: str, tmp_path: Path) -> None:
    members = {"2": "A title.\n One µ.\n  Two.\n".encode(), "1": b"Second", "empty": b" \n\n"}
    pack(tmp_path / name, mode, members)
    (tmp_path / "b.txt").write_text("a line\nanother\n")
    assert list(corpora.read(str(tmp_path / name))) == ["A title. One µ. Two.", "Second"]
    assert list(corpora.read(str(tmp_path))) == ["A title. One µ. Two.", "Second", "a line", "another"]


def test_the_headers_of_an_archive_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus may have millions of members."""
    pack(tmp_path / "a.tar", "w", {str(number): b"text" for number in range(500)})
    opened: list[tarfile.TarFile] = []
    unpatched = tarfile.open

    def watched(*given: object, **options: object) -> tarfile.TarFile:
        opened.append(unpatched(*given, **options))  # type: ignore[call-overload]
        return opened[-1]

    monkeypatch.setattr(tarfile, "open", watched)
    kept = [len(opened[0].members) for _ in corpora.read(str(tmp_path / "a.tar"))]  # type: ignore[attr-defined]
    assert len(kept) == 500
    assert max(kept) <= 1


@pytest.mark.real_data
def test_the_abstracts_of_ohsumed_are_read_whole_and_in_order(real_data: Path) -> None:
    path = real_data / "pubmed_corpus" / "ohsumed_single_23.tar.gz"
    found = list(corpora.read(str(path)))
    assert len(found) == 7_400
    with tarfile.open(path) as archive:
        names = [member.name for member in archive.getmembers() if member.isfile()]
        last = archive.extractfile(names[-1])
        assert last is not None
        assert found[-1].split() == last.read().decode().split()
    assert names == sorted(names)
    assert not any("\n" in text for text in found)


def test_the_place_of_a_byte_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    content = b"first line\n" * 20_000 + "µ".encode() + b"b\xe9c\n"
    (tmp_path / "latin.txt").write_bytes(content)
    with gzip.open(tmp_path / "latin.gz", "wb") as file:
        file.write(content)
    pack(tmp_path / "latin.tar.gz", "w:gz", {"good": b"text", "bad": b"text\n\xff"})
    for name in ("latin.txt", "latin.gz"):
        said = rf"corpus file '.*/{name}' is no UTF-8 text: byte 4 of line 20001 is 0xe9"
        with pytest.raises(UserError, match=said):
            list(corpora.read(str(tmp_path / name)))
    said = r"corpus file '.*/latin.tar.gz', member 'abstracts/bad' is no UTF-8 text: byte 6 is 0xff"
    with pytest.raises(UserError, match=said):
        list(corpora.read(str(tmp_path / "latin.tar.gz")))


def test_torn_archives_and_members_of_many_texts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tmp_path / "whole.tar.gz"
    members = {str(number): f"{number} ".encode() * 999 for number in range(50)}
    pack(whole, "w:gz", members)
    pack(tmp_path / "whole.tar", "w", members)
    torn = {
        "torn.tar.gz": whole.read_bytes()[:-100],
        "in_a_text.tar": (tmp_path / "whole.tar").read_bytes()[: 512 * 13],
        "in_a_header.tar": (tmp_path / "whole.tar").read_bytes()[: 512 * 15 + 100],
        "between.tar": (tmp_path / "whole.tar").read_bytes()[: 512 * 15],
        "none.tar": b"no archive",
    }
    for name, content in torn.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"'.*/{name}' cannot be unpacked"):
            list(corpora.read(str(tmp_path / name)))
    monkeypatch.setattr(corpus_files, "_LARGEST_MEMBER", 2_000)
    with pytest.raises(
        UserError, match=r"member 'abstracts/10' has 2,997 bytes; a member is one text of at most 2,000"
    ):
        list(corpora.read(str(whole)))


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text(" \n\n")
    with pytest.raises(UserError, match=r"blank.txt' is empty: it has 0 texts, and needs at least 1"):
        list(corpora.read(str(tmp_path / "blank.txt")))
    (tmp_path / "short.txt").write_text("one\ntwo words\n")
    sieve = corpora.Sieve(min_words=3)
    with pytest.raises(UserError, match=r"min_words=3, share=1.0 leave none of its 2 texts"):
        list(corpora.read(str(tmp_path / "short.txt"), sieve=sieve))


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=60),
    st.floats(0.01, 1),
    st.floats(0.01, 1),
    st.integers(0, 9),
    st.integers(0, 3),
)
def test_a_smaller_share_is_part_of_a_larger_one(
    words: list[int], one: float, other: float, min_words: int, seed: int
) -> None:
    texts = [f"{number}" + " word" * (count - 1) for number, count in enumerate(words)]

    def kept(share: float) -> list[str]:
        sieve = corpora.Sieve(min_words, share, seed)
        found = list(sieve(iter(texts)))
        assert (sieve.seen, sieve.kept) == (len(texts), len(found))
        return found

    small, large = kept(min(one, other)), kept(max(one, other))
    assert [text for text in large if text in set(small)] == small
    assert all(len(text.split()) >= min_words for text in large)
    assert kept(1.0) == [text for text in texts if len(text.split()) >= min_words]


def test_a_share_is_about_that_of_the_texts_and_follows_its_seed() -> None:
    texts = [str(number) for number in range(20_000)]
    draws = [list(corpora.Sieve(share=0.2, seed=seed)(texts)) for seed in (0, 1)]
    assert all(3_800 < len(draw) < 4_200 for draw in draws)
    assert draws[0] != draws[1]


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that every download ends in: the hub is not reached."""
    folder = tmp_path / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(folder))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "HfApi", _Unreachable)
    for cached in (hub.download, corpus_hub.commit):
        cached.cache_clear()
    yield folder
    for cached in (hub.download, corpus_hub.commit):
        cached.cache_clear()


class _Unreachable:
    def dataset_info(self, *_: object, **__: object) -> SimpleNamespace:
        raise ConnectionError("no route to the hub")


def put(file: Path, *rows: dict[str, object]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_data_set_of_the_hub_is_its_column_of_text(repository: Path) -> None:
    put(repository / "train.jsonl", {"id": 1, "text": " a b ", "title": "x"}, {"id": 2, "text": "", "title": "y"})
    put(repository / "test.jsonl", {"id": 1, "text": "held out", "title": "x"})
    assert list(corpora.read("hub:owner/name")) == ["a b"]
    first = corpora.fingerprint("hub:owner/name")
    assert first == corpora.fingerprint("hub:owner/name@main") != corpora.fingerprint("hub:owner/other")
    for file in repository.iterdir():
        file.unlink()
    put(repository / "test.jsonl", {"abstract": "the only column", "year": 3})
    assert list(corpora.read("hub:owner/name")) == ["the only column"]
    assert not corpora.is_path("hub:owner/name")


def test_the_commit_of_the_hub_goes_before_the_cache(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = corpora.fingerprint("hub:owner/name")
    corpus_hub.commit.cache_clear()
    newer = SimpleNamespace(dataset_info=lambda *_, **__: SimpleNamespace(sha="f" * 40))
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: newer)
    assert corpora.fingerprint("hub:owner/name") != cached
    assert corpus_hub.commit("owner/name") == "f" * 40


def test_data_sets_of_the_hub_that_do_not_say_which_text_is_meant_are_refused(repository: Path) -> None:
    put(repository / "train.jsonl", {"title": "x", "abstract": "y"})
    said = r"hub:owner/name: 2 columns hold text \((title, abstract|abstract, title)\) and none is called 'text'"
    with pytest.raises(UserError, match=said):
        list(corpora.read("hub:owner/name"))
    put(repository / "train.jsonl", {"year": 1})
    with pytest.raises(UserError, match=r"0 columns hold text \(none\)"):
        list(corpora.read("hub:owner/name"))
    (repository / "train.jsonl").unlink()
    for split in ("validation", "test"):
        put(repository / f"{split}.jsonl", {"text": "x"})
    with pytest.raises(UserError, match="no train split among validation, test"):
        list(corpora.read("hub:owner/name"))
    with pytest.raises(UserError, match="hub:owner/name expected"):
        corpora.fingerprint("hub:name")


def test_a_data_set_that_neither_hub_nor_cache_knows_is_refused(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object, **__: object) -> str:
        raise FileNotFoundError("not cached")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", nothing)
    with pytest.raises(UserError, match=r"'owner/name' is not in the local cache, and on the hub: no route to the hub"):
        corpora.fingerprint("hub:owner/name")
