"""GGUF files: their header, what is wrong with a bad one, fingerprints, altered copies."""
