"""The console command ``clipbert``: one file per group of subcommands, each argparse and a call into ``inference``."""
