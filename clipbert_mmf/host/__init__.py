"""Makes MMF importable and runnable on current Python, PyTorch and transformers.

Nothing here imports the rest of the package. ``loading`` starts the plugin by its name, once MMF is there.
"""
