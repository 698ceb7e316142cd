"""Frames as values."""

from syncd.core.messages import LAYERS, Ack, Layer


def test_frames_are_values() -> None:
    """Equal by content, and usable as keys: that nothing changes them is the type checker's matter."""
    assert Ack("s", 1) == Ack("s", 1) != Ack("s", 2)
    assert len({Ack("s", 1), Ack("s", 1)}) == 1


def test_layers_are_the_strings_of_the_wire() -> None:
    """Both, and no more."""
    assert [str(layer) for layer in LAYERS] == ["transcript", "state"]
    assert set(LAYERS) == set(Layer)
