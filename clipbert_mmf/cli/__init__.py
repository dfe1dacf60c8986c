"""The console command ``clipbert``: one module per verb, each its arguments and a call into the package."""
