"""One request under several setups of a model: what each quantisation or cache type does to every token."""

from workbench.variants.cache import cache_damage, cache_variants
from workbench.variants.result import Block, Flips, Variant, Variants
from workbench.variants.run import compare_variants

__all__ = ["Block", "Flips", "Variant", "Variants", "cache_damage", "cache_variants", "compare_variants"]
