"""A page that finds hands in the browser: its sources, and what builds and serves it."""
