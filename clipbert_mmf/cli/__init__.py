"""The console command ``clipbert``: a verb is a module here, which runs it, and one in ``arguments``."""
