"""Frames as values."""

import dataclasses

import pytest

from syncd.core.messages import LAYERS, Ack, Layer


def test_frames_are_values() -> None:
    """Equal by content and not to be changed."""
    assert Ack("s", 1) == Ack("s", 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Ack("s", 1).number = 2  # type: ignore[misc]


def test_layers_are_the_strings_of_the_wire() -> None:
    """Both, and no more."""
    assert [str(layer) for layer in LAYERS] == ["transcript", "state"]
    assert set(LAYERS) == set(Layer)
