"""Results and frames of a run to one self-contained HTML page; the last room of the data flow."""
