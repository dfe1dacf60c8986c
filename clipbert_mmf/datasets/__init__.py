"""Annotations to samples: the table of datasets, one parser per format, and one dataset and builder for all of MMF."""
