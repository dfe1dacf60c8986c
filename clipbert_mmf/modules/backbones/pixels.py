"""The mean and divisor of pixels, checked before a network is built."""

from __future__ import annotations

Channels = tuple[float, float, float]


def check_pixel_options(pixel_mean: Channels | None, pixel_std: Channels | None) -> None:
    """Raise ``ValueError`` for values that are meant for pixels of 0 to 1; frames have grey levels of 0 to 255.

    Args:
        pixel_mean: mean of R, G, B, or None.
        pixel_std: divisor of R, G, B, or None.
    """
    for name, values, suspicious in (
        ("pixel_std", pixel_std, lambda value: value < 1),
        ("pixel_mean", pixel_mean, lambda value: 0 < value < 1),
    ):
        if values is not None and any(map(suspicious, values)):
            grey = ",".join(f"{255 * value:g}" for value in values)
            raise ValueError(
                f"{name} is {list(values)}, which is for pixels of 0 to 1; frames have grey levels of 0 to "
                f"255: set {name}=[{grey}]"
            )
