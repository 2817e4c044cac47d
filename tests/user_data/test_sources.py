"""What a source may be: shards here and elsewhere, tables, folders; listed without being read."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from making_clips import captioned, write_clip
from serving_files import served
from show1.data.problems import UnusableError
from show1.data.records import Record
from show1.data.sources import open_source
from show1.data.storage import Part, read_part
from show1.errors import DataError


def write_shard(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards of bytes that stand for clips: listing does not decode."""
    write_shard(
        tmp_path / "set/a-000.tar",
        {"x/0001.mp4": b"one", "x/0001.txt": b"clip one\n", "x/0002.webm": b"two", "x/0002.json": b'{"caption": "clip two"}'},
    )
    write_shard(tmp_path / "set/a-001.tar", {"0003.mp4": b"three", "0003.txt": "clip thr\u00e9e".encode(), "0004.txt": b"no video"})
    return tmp_path / "set"


def told(records: list[Record]) -> list[tuple[str, str, bytes]]:
    return [(record.key, record.caption(), record.video_bytes()) for record in records]


WANTED = [
    ("a-000.tar/x/0001", "clip one", b"one"),
    ("a-000.tar/x/0002", "clip two", b"two"),
    ("a-001.tar/0003", "clip thr\u00e9e", b"three"),
]


@pytest.mark.parametrize("pattern", ["", "/a-{000..001}.tar", "/a-*.tar", "/{a-000,a-001}.tar"])
def test_shards_are_read_by_folder_and_by_pattern(shards: Path, pattern: str) -> None:
    records = open_source(str(shards) + pattern).records
    assert told(records[:3]) == WANTED
    with pytest.raises(UnusableError, match="no video"):
        records[3].video_bytes()


def test_the_index_of_a_foreign_shard_is_kept_in_the_cache(shards: Path, cache: Path) -> None:
    before = open_source(str(shards)).records
    assert len(list(cache.iterdir())) == 2 and sorted(p.name for p in shards.iterdir()) == ["a-000.tar", "a-001.tar"]
    assert open_source(str(shards)).records == before
    write_shard(shards / "a-000.tar", {"new.mp4": b"new clip", "new.txt": b"new"})
    assert told(open_source(str(shards / "a-000.tar")).records) == [("a-000.tar/new", "new", b"new clip")]


def test_shards_elsewhere_are_read_in_pieces(shards: Path) -> None:
    big = {f"{i:04d}.{ending}": bytes(300_000) if ending == "mp4" else b"a caption" for i in range(40) for ending in ("mp4", "txt")}
    write_shard(shards / "big.tar", big)
    with served(shards) as (address, log):
        assert told(open_source(f"{address}/a-{{000..001}}.tar").records[:3]) == WANTED
        records = open_source(f"{address}/big.tar").records
        log.clear()
        assert len(open_source(f"{address}/big.tar").records) == 40 and not any(path == "/big.tar" for path, _ in log), "the index was kept"
        assert records[30].video_bytes() == bytes(300_000)
        assert [path for path, _ in log if path == "/big.tar"] == ["/big.tar"]
        part = records[30].video
        assert log[-1][1] == f"bytes={part.offset}-{part.offset + 299_999}"


def test_an_address_that_is_not_there_is_a_missing_clip(tmp_path: Path) -> None:
    with served(tmp_path) as (address, _), pytest.raises(UnusableError, match="missing"):
        read_part(Part(f"{address}/nowhere.mp4"))


def test_a_server_that_does_not_answer_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("show1.data.storage.TRIES", 1)
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9"):
        read_part(Part("http://127.0.0.1:9/a.mp4"))


def test_webvid_s_columns(tmp_path: Path) -> None:
    write_clip(tmp_path / "videos" / "001_050" / "42.mp4", seconds=0.2)
    write_clip(tmp_path / "001_050" / "43.mp4", seconds=0.2)
    rows = "videoid,contentUrl,duration,page_dir,name\n42,http://h/42.mp4,PT1S,001_050,A horse\n43,,,001_050,\u00dcber\n44,http://127.0.0.1:9/44.mp4,,001_050,Gone\n"
    (tmp_path / "results.csv").write_text(rows)
    here, there, gone = open_source(str(tmp_path / "results.csv")).records
    assert here.video.place == str(tmp_path / "videos/001_050/42.mp4") and here.caption() == "A horse"
    assert there.video.place == str(tmp_path / "001_050/43.mp4") and there.caption() == "\u00dcber"
    assert gone.video.place == "http://127.0.0.1:9/44.mp4"


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_a_folder_with_a_table(tmp_path: Path, name: str) -> None:
    rows = {
        "metadata.jsonl": '{"file_name": "a/b.mp4", "text": "one"}\n\n{"file_name": "c.mp4"}\n',
        "metadata.csv": "file_name,text\na/b.mp4,one\nc.mp4,\n",
    }
    (tmp_path / name).write_text(rows[name])
    first, second = open_source(str(tmp_path)).records
    assert (first.key, first.caption(), first.video.place) == ("a/b.mp4", "one", str(tmp_path / "a/b.mp4"))
    with pytest.raises(UnusableError, match="no caption"):
        second.caption()


def test_a_folder_of_clips_with_captions_beside_them(tmp_path: Path) -> None:
    captioned(tmp_path / "b", 2, seconds=0.2)
    write_clip(tmp_path / "a.webm", seconds=0.2)
    (tmp_path / "a.json").write_text(json.dumps({"prompt": "from json"}))
    write_clip(tmp_path / "c.mp4", seconds=0.2)
    (tmp_path / "d.mov").write_bytes(b"x")
    records = open_source(str(tmp_path)).records
    assert [record.key for record in records] == ["a.webm", "b/000.mp4", "b/001.mp4", "c.mp4", "d.mov"]
    assert [record.caption() for record in records[:3]] == ["from json", "clip number 0", "clip number 1"]
    with pytest.raises(UnusableError, match="no caption"):
        records[3].caption()
    with pytest.raises(UnusableError, match=r"other kind.*ffmpeg"):
        records[4].video_bytes()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"  \n", "no caption"),
        (b"\xff\xfe\x00", "bad caption"),
        (b'{"title": 3}', "no caption"),
        (b"{oops", "bad caption"),
        (b"x" * 10_001, "bad caption"),
    ],
)
def test_captions_that_cannot_be_used_say_why(tmp_path: Path, data: bytes, reason: str) -> None:
    write_shard(tmp_path / "a.tar", {"0.mp4": b"", "0.txt": data})
    with pytest.raises(UnusableError) as caught:
        open_source(str(tmp_path / "a.tar")).records[0].caption()
    assert caught.value.reason == reason


def test_captions_lose_control_characters(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", {"0.mp4": b"", "0.txt": "\ufeffa\x00 horse\r\n gallops\x1b[0m".encode()})
    assert open_source(str(tmp_path / "a.tar")).records[0].caption() == "a horse gallops [0m"


@pytest.mark.parametrize(
    "source", ["nowhere", "nowhere.csv", "nowhere.tar", "a{b.tar", "text.txt", "text.tar", "text.tar.gz", "bad.csv", "bad.jsonl"]
)
def test_sources_that_cannot_be_used_are_errors_that_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("text.txt", "text.tar", "text.tar.gz"):
        (tmp_path / name).write_text("no shard" * 100)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    (tmp_path / "bad.jsonl").write_text("{}\n[1]\n")
    with pytest.raises(DataError, match=source.replace("{", r"\{").replace(".", r"\.")):
        open_source(source)
