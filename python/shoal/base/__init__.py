"""What every folder may import, and what imports nothing else of shoal: checks of arguments, frozen classes."""
