"""Feeds: the sources that send usage, the keys that write to them, and how they are doing."""
