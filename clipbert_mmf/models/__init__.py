"""Models registered with MMF."""
