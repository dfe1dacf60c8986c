"""The index of many videos."""
