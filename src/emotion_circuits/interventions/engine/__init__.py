"""The engine: generation for any table of prompts and conditions."""
