"""From the bytes of a video or an image to uint8 RGB frames: stores, sampling, decoding, checks."""
