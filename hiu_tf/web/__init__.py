"""A page that detects hands in the browser: its sources, and modules that build and serve it."""
