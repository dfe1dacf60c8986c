"""The real-data benchmark: Flickr8k and UCF101 clips, from downloaded material to one page of results."""
