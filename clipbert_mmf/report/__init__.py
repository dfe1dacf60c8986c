"""Results and frames of a run to one self-contained HTML page."""
