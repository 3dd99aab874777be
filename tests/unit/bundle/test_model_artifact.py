"""Archives that training jobs write are read; archives that attackers write are not."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.bundle.artifact import ModelLimits, read_artifact, read_model
from controller.errors import BundleError

MODEL = b'{"learner": {}, "version": [3, 2, 0]}'


def member(name: str = "xgboost-model", **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = len(MODEL)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def archive(*members: tarfile.TarInfo) -> bytes:
    """Pack members, each with the model as content where its type has any."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(MODEL) if info.isreg() else None)
    return gzip.compress(plain.getvalue(), mtime=0)


def refusal(content: bytes, limits: ModelLimits | None = None) -> str:
    with pytest.raises(BundleError) as caught:
        read_artifact(io.BytesIO(content), limits)
    return str(caught.value)


class Unseekable(io.RawIOBase):
    """Gives what it has in small pieces, as a connection does, and can do nothing but read."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        data = self._content.read(min(size, 100) if size >= 0 else 100)
        self.given += len(data)
        return data


def test_the_one_member_is_read_from_a_stream() -> None:
    """A stream that can only be read is enough, in whatever pieces it comes."""
    assert read_artifact(Unseekable(archive(member()))).content == MODEL  # type: ignore[arg-type]


def test_tar_formats_of_other_programs_are_read() -> None:
    """A pax header, as Python's own tarfile writes for a time with fractions, changes nothing."""
    assert read_artifact(io.BytesIO(archive(member(mtime=1.5)))).content == MODEL


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([], "it is empty"),
        ([member("/xgboost-model")], "named '/xgboost-model'"),
        ([member("../xgboost-model")], "named '../xgboost-model'"),
        ([member("sub/xgboost-model")], "named 'sub/xgboost-model'"),
        ([member("model.pkl")], "named 'model.pkl'"),
        ([member(type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0)], "not a plain file"),
        ([member(type=tarfile.LNKTYPE, linkname="/etc/passwd", size=0)], "not a plain file"),
        ([member(type=tarfile.DIRTYPE, size=0)], "named 'xgboost-model/'"),
        ([member(type=tarfile.FIFOTYPE, size=0)], "not a plain file"),
        ([member(type=tarfile.CHRTYPE, size=0)], "not a plain file"),
        ([member(type=tarfile.BLKTYPE, size=0)], "not a plain file"),
        ([member(pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})], "sets 'GNU.sparse.major'"),
        ([member(pax_headers={"size": "1"})], "sets 'size'"),
        ([member("é")], "sets 'path'"),
        ([member("x" * 5000)], "sets 'path'"),
        ([member(), member()], "more than one member"),
        ([member(), member("../../etc/cron.d/x")], "more than one member"),
    ],
)
def test_anything_but_one_plain_file_is_refused(members: list[tarfile.TarInfo], reason: str) -> None:
    """Links, devices, directories, sparse files, other names and further members: none is read."""
    assert reason in refusal(archive(*members))


def test_decompression_bomb_is_stopped() -> None:
    """A gigabyte of zeros behind a megabyte is refused after a small part of either was read."""
    bomb = member(size=2**30)
    header = gzip.compress(bomb.tobuf())
    zeros = gzip.compress(b"\0" * 2**24, 9)
    stream = Unseekable(header + zeros * 64)
    with pytest.raises(BundleError, match="expands more than 100-fold"):
        read_artifact(stream, ModelLimits(max_model_bytes=2**31))  # type: ignore[arg-type]
    assert stream.given < len(zeros)


def test_claimed_size_above_the_limit_is_refused() -> None:
    """No memory is taken for a member that says it is larger than allowed."""
    assert "at most 1,000 are read" in refusal(
        gzip.compress(member(size=2**30).tobuf()), ModelLimits(max_model_bytes=1000)
    )
    assert "an invalid number" in refusal(gzip.compress(member(size=2**60).tobuf(tarfile.GNU_FORMAT)))


def pax_header(content: bytes) -> bytes:
    """Pack a pax header by hand."""
    info = member("note", type=tarfile.XHDTYPE, size=len(content))
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def test_headers_before_the_member_are_bounded() -> None:
    """Neither a long pax header nor a long chain of them is a way round the limits."""
    plain = gzip.decompress(archive(member()))
    assert read_artifact(io.BytesIO(gzip.compress(pax_header(b"13 a=bcdefgh\n") * 3 + plain))).content == MODEL
    assert "too many pax headers" in refusal(gzip.compress(pax_header(b"13 a=bcdefgh\n") * 5000 + plain))
    assert "pax header is too long" in refusal(gzip.compress(pax_header(b"9" * 100_000) + plain))
    for damaged in (b"x", b"0 a=b\n", b"99 a=b\n", b"-1 a=b\n", b"9999999 a=b\n"):
        assert "pax header is damaged" in refusal(gzip.compress(pax_header(damaged) + plain))


def test_a_cut_or_damaged_archive_is_refused() -> None:
    """At whatever byte the transfer broke off, and whichever bit was flipped near the end, no half model comes out."""
    content = archive(member())
    for end in range(len(content)):
        assert refusal(content[:end])
    flipped = bytearray(content)
    flipped[-6] ^= 1  # gzip's checksum
    assert "damaged" in refusal(bytes(flipped))


def test_trailing_bytes_are_refused() -> None:
    """Bytes behind the tar's end are either padding or not ours to ignore."""
    plain = gzip.decompress(archive(member()))
    assert read_artifact(io.BytesIO(gzip.compress(plain + b"\0" * 4096))).content == MODEL
    assert "it has data after its end" in refusal(gzip.compress(plain + b"more"))


@given(
    st.lists(st.tuples(st.integers(0, 1535), st.sampled_from(b"\0\x80\xffxgLKS0159 ")), max_size=6),
    st.booleans(),
)
def test_altered_archive_gives_the_model_or_a_bundle_error(changes: list[tuple[int, int]], resum: bool) -> None:
    """No alteration of the headers, even with a right checksum, leads to another error, or to no end."""
    content = bytearray(pax_header(b"13 a=bcdefgh\n") + gzip.decompress(archive(member())))
    for place, value in changes:
        content[place] = value
    if resum:
        for start in (0, 1024):
            block = content[start : start + 512]
            content[start + 148 : start + 156] = b"%06o\0 " % (sum(block[:148]) + 256 + sum(block[156:]))
    with contextlib.suppress(BundleError):
        assert read_artifact(io.BytesIO(gzip.compress(content, 1))).content[:1] == b"{"


def test_content_that_is_no_archive_is_refused() -> None:
    """A model that isn't packed, and a tar that isn't compressed, are told apart from an artifact."""
    assert "damaged or not a tar.gz" in refusal(MODEL)
    assert "damaged or not a tar.gz" in refusal(gzip.decompress(archive(member())))
    assert "ends too early" in refusal(gzip.compress(MODEL))
    assert "an invalid number" in refusal(gzip.compress(MODEL * 100))
    assert "checksum is wrong" in refusal(gzip.compress(b"y" + gzip.decompress(archive(member()))[1:]))


def test_a_file_may_be_the_model_or_its_artifact(tmp_path: Path) -> None:
    """`read_model` takes either, by content and not by name."""
    for content in (MODEL, archive(member())):
        (tmp_path / "model").write_bytes(content)
        assert read_model(tmp_path / "model").content == MODEL


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file and one beyond the limit are named."""
    with pytest.raises(BundleError, match=r"gone\.ubj: the model can't be read: No such file or directory"):
        read_model(tmp_path / "gone.ubj")
    (tmp_path / "large").write_bytes(MODEL)
    with pytest.raises(BundleError, match="more than 10 bytes"):
        read_model(tmp_path / "large", ModelLimits(max_model_bytes=10))
