"""A local web page that asks a trained model: videos, questions, jobs and pictures are plain Python; ``server`` is the web.

After ``inference`` and ``report``; started by ``clipbert demo``.
"""
