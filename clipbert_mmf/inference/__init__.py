"""A trained model outside MMF.

Load it once, with everything it needs to read videos and texts as in training.
"""
