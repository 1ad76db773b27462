"""Pages: the clock, the request and the rendering; every other thought lives below."""
