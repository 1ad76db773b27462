"""What templates may call: words for values, and small drawings."""
