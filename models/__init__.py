"""Model bundles and their cards (data, no code)."""
