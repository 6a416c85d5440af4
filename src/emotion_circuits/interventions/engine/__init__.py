"""The engine: runs any table of prompts and conditions."""
