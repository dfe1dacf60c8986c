"""Starting points: weights of our own and of others, with a report of what was used."""
