"""Frames are the same however they arrive."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.http2.frames import ConnectionFault, Frame, FrameReader
from tests.http2_frames import Speaker

SPEAKER = Speaker()
TALK = b"".join(
    (
        SPEAKER.greet(),
        SPEAKER.acknowledge(),
        SPEAKER.frame(1, 0, 1, b"abc"),
        SPEAKER.frame(9, 4, 1, b"def"),
        SPEAKER.data(1, b"hello", ends=True),
        SPEAKER.frame(0xFF, 0xFF, 2**31 - 1, b"?"),
        SPEAKER.window(0, 1),
    )
)


def test_frames() -> None:
    """Each of them is whole, with what its head says."""
    reader = FrameReader()
    frames = reader.read(TALK + b"\0\0")
    assert [frame[:3] for frame in frames] == [
        (4, 0, 0),
        (4, 1, 0),
        (1, 0, 1),
        (9, 4, 1),
        (0, 1, 1),
        (0xFF, 0xFF, 2**31 - 1),
        (8, 0, 0),
    ]
    assert b"".join(frame.data for frame in frames) == TALK[24:]
    assert frames[4].payload_bytes == 5
    assert not reader.is_in_block


@given(cuts=st.lists(st.integers(0, len(TALK)), max_size=20))
def test_any_cut(cuts: list[int]) -> None:
    """Where a piece ends changes nothing."""
    reader = FrameReader()
    frames: list[Frame] = []
    edges = [0, *sorted(cuts), len(TALK)]
    for start, stop in itertools.pairwise(edges):
        frames += reader.read(TALK[start:stop])
    assert frames == FrameReader().read(TALK)


@given(data=st.binary(max_size=200), greets=st.booleans())
def test_anything(data: bytes, greets: bool) -> None:
    """Any bytes make frames, or a fault that says why."""
    reader = FrameReader()
    try:
        reader.read((SPEAKER.greet() if greets else b"") + data)
    except ConnectionFault as fault:
        assert fault.detail


def test_a_section_that_is_open() -> None:
    """It is known, as long as it is."""
    reader = FrameReader()
    reader.read(SPEAKER.greet() + SPEAKER.open_section(1, b"abc"))
    assert reader.is_in_block
    with pytest.raises(ConnectionFault):
        reader.read(SPEAKER.go_on(3, b""))
