"""A local web page that asks a trained model: all of it but ``server`` is plain Python without the web.

After ``inference`` and ``report``; started by ``clipbert demo``.
"""
