"""The sampler chain as data."""
