"""A local web page: a clip in, speech out."""
