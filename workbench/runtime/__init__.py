"""The model host: llama.cpp in a process of its own, and what is asked of it."""
